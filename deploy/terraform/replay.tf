# What a release is tried on before production: recorded traffic without personal data, published in dev and staging only.

locals {
  replays = var.environment == "production" ? toset([]) : toset(["replay"])
}

resource "google_storage_bucket" "replay" {
  for_each = local.replays

  name                        = "${var.project}-riskstream-replay"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  depends_on = [google_project_service.used]
}

resource "google_storage_bucket_iam_member" "replay" {
  for_each = google_storage_bucket.replay

  bucket = each.value.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.accounts["training"].member
}

resource "google_pubsub_topic_iam_member" "replay" {
  for_each = { for topic, stream in local.of_role["events"] : topic => stream if length(local.replays) > 0 }

  topic  = google_pubsub_topic.streams[each.key].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.accounts["training"].member
}

# A release waits until everything that it replayed is accounted for, and asks the log for it.
resource "google_bigquery_dataset_iam_member" "replay" {
  for_each = local.replays

  dataset_id = google_bigquery_dataset.riskstream.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.accounts["launcher"].member
}

resource "google_project_iam_member" "replay" {
  for_each = local.replays

  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.accounts["launcher"].member
}
