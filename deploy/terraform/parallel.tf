# The next job beside the present one, when it cannot be updated in place: it reads the same events by a subscription of its
# own, and its alerts go where nobody acts on them, until it takes over. docs/release.md says how.

resource "google_pubsub_subscription" "next" {
  for_each = { for topic, stream in local.of_role["events"] : topic => stream if contains(var.parallel_runs, stream.use_case) }

  name                       = "${each.value.subscription}-next"
  topic                      = google_pubsub_topic.streams[each.key].id
  ack_deadline_seconds       = local.topics.ack_deadline_s
  message_retention_duration = local.retention
  enable_message_ordering    = var.keep_order

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription_iam_member" "next" {
  for_each = google_pubsub_subscription.next

  subscription = each.value.id
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.accounts["worker"].member
}

resource "google_pubsub_topic" "next" {
  for_each = { for topic, stream in local.of_role["alerts"] : topic => stream if contains(var.parallel_runs, stream.use_case) }

  name                       = "${each.key}-next"
  message_retention_duration = local.retention

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_topic_iam_member" "next" {
  for_each = google_pubsub_topic.next

  topic  = each.value.id
  role   = "roles/pubsub.publisher"
  member = google_service_account.accounts["worker"].member
}
