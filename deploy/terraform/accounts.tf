# Who may do what: a role is given on the one thing that needs it, and nobody has a key. docs/infrastructure.md has the
# same as a table with the reasons; a test compares both.

locals {
  accounts = {
    worker   = "Dataflow workers of the streaming job"
    training = "Batch jobs: retrain, drift, backfill, score, reconcile"
    launcher = "Launches and updates jobs, promotes and rolls back models"
    builder  = "Builds and pushes images"
    schedule = "Starts the batch jobs by the clock"
    serving  = "The REST service"
    nodes    = "Nodes of the cluster"
  }

  project_roles = {
    worker   = ["roles/dataflow.worker"]
    training = ["roles/bigquery.jobUser", "roles/bigquery.readSessionUser"]
    launcher = ["roles/dataflow.developer", "roles/pubsub.viewer"]
    nodes    = ["roles/container.defaultNodeServiceAccount"]
  }
  dataset_roles = {
    worker   = ["roles/bigquery.dataEditor"]
    training = ["roles/bigquery.dataViewer"]
    launcher = ["roles/bigquery.metadataViewer"]
  }
  bundles_roles = {
    worker   = ["roles/storage.objectViewer"]
    training = ["roles/storage.objectUser"]
    launcher = ["roles/storage.objectUser"]
    serving  = ["roles/storage.objectViewer"]
  }
  staging_roles = {
    worker   = ["roles/storage.objectUser"]
    launcher = ["roles/storage.objectUser"]
  }
  secret_roles = {
    worker   = ["roles/secretmanager.secretAccessor"]
    training = ["roles/secretmanager.secretAccessor"]
    serving  = ["roles/secretmanager.secretAccessor"]
  }
  images_roles = {
    worker   = ["roles/artifactregistry.reader"]
    training = ["roles/artifactregistry.reader"]
    launcher = ["roles/artifactregistry.reader"]
    builder  = ["roles/artifactregistry.writer"]
    nodes    = ["roles/artifactregistry.reader"]
  }
}

resource "google_service_account" "accounts" {
  for_each = local.accounts

  account_id   = "riskstream-${each.key}"
  display_name = each.value

  depends_on = [google_project_service.used]
}

locals {
  # By thing, "account role" => both.
  grants = {
    for thing, roles in {
      project = local.project_roles
      dataset = local.dataset_roles
      bundles = local.bundles_roles
      staging = local.staging_roles
      secret  = local.secret_roles
      images  = local.images_roles
    } :
    thing => merge([
      for account, names in roles : {
        for role in names :
        "${account} ${role}" => { member = google_service_account.accounts[account].member, role = role }
      }
    ]...)
  }
}

resource "google_project_iam_member" "accounts" {
  for_each = local.grants["project"]

  project = var.project
  role    = each.value.role
  member  = each.value.member
}

resource "google_bigquery_dataset_iam_member" "accounts" {
  for_each = local.grants["dataset"]

  dataset_id = google_bigquery_dataset.riskstream.dataset_id
  role       = each.value.role
  member     = each.value.member
}

resource "google_storage_bucket_iam_member" "bundles" {
  for_each = local.grants["bundles"]

  bucket = google_storage_bucket.bundles.name
  role   = each.value.role
  member = each.value.member
}

resource "google_storage_bucket_iam_member" "staging" {
  for_each = local.grants["staging"]

  bucket = google_storage_bucket.staging.name
  role   = each.value.role
  member = each.value.member
}

resource "google_secret_manager_secret_iam_member" "password" {
  for_each = local.grants["secret"]

  secret_id = google_secret_manager_secret.redis_password.id
  role      = each.value.role
  member    = each.value.member
}

resource "google_artifact_registry_repository_iam_member" "accounts" {
  for_each = local.grants["images"]

  repository = google_artifact_registry_repository.images.name
  location   = google_artifact_registry_repository.images.location
  role       = each.value.role
  member     = each.value.member
}

# The job reads events and says alerts and dead letters.
resource "google_pubsub_subscription_iam_member" "events" {
  for_each = local.of_role["events"]

  subscription = google_pubsub_subscription.streams[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.accounts["worker"].member
}

resource "google_pubsub_topic_iam_member" "says" {
  for_each = merge(local.of_role["alerts"], local.of_role["dead_letters"])

  topic  = google_pubsub_topic.streams[each.key].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.accounts["worker"].member
}

# Who launches a job lets its workers act as their account, and no other.
resource "google_service_account_iam_member" "launcher" {
  service_account_id = google_service_account.accounts["worker"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.accounts["launcher"].member
}

# Pub/Sub itself carries what a reader of alerts could not acknowledge.
locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "undelivered" {
  for_each = local.of_role["alerts"]

  topic  = google_pubsub_topic.undelivered[each.key].id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "undelivered" {
  for_each = local.of_role["alerts"]

  subscription = google_pubsub_subscription.streams[each.key].id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# History that training reads, and people who read assessments.
resource "google_bigquery_dataset_iam_member" "history" {
  for_each = var.history_datasets

  dataset_id = each.key
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.accounts["training"].member
}

resource "google_bigquery_dataset_iam_member" "readers" {
  for_each = var.readers

  dataset_id = google_bigquery_dataset.riskstream.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.key
}

resource "google_artifact_registry_repository_iam_member" "others" {
  for_each = var.image_readers

  repository = google_artifact_registry_repository.images.name
  location   = google_artifact_registry_repository.images.location
  role       = "roles/artifactregistry.reader"
  member     = each.key
}
