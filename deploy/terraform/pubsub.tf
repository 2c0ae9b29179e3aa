# Three topics a use case, each with the subscription that the code makes too: names, deadlines and retention are the code's.

locals {
  # By topic name: role and subscription.
  streams = merge([
    for use_case in var.use_cases : {
      for role, names in local.topics.topics :
      replace(names.topic, "USE_CASE", use_case) => {
        role         = role
        use_case     = use_case
        subscription = replace(names.subscription, "USE_CASE", use_case)
      }
    }
  ]...)
  of_role = {
    for role in keys(local.topics.topics) :
    role => { for topic, stream in local.streams : topic => stream if stream.role == role }
  }
  retention = "${local.topics.retention_s}s"
}

resource "google_pubsub_topic" "streams" {
  for_each = local.streams

  name = each.key
  # Whatever a subscription has lost can be had again by seeking back, also by one made later.
  message_retention_duration = local.retention

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.used]
}

# Messages of alerts that their reader could not acknowledge.
resource "google_pubsub_topic" "undelivered" {
  for_each = local.of_role["alerts"]

  name                       = "${each.key}-undelivered"
  message_retention_duration = local.retention

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_subscription" "undelivered" {
  for_each = local.of_role["alerts"]

  name                       = "${each.key}-undelivered"
  topic                      = google_pubsub_topic.undelivered[each.key].id
  ack_deadline_seconds       = local.topics.ack_deadline_s
  message_retention_duration = local.retention

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "streams" {
  for_each = local.streams

  name                       = each.value.subscription
  topic                      = google_pubsub_topic.streams[each.key].id
  ack_deadline_seconds       = local.topics.ack_deadline_s
  message_retention_duration = local.retention
  enable_message_ordering    = var.keep_order && each.value.role == "events" # cannot be changed later

  expiration_policy {
    ttl = "" # never, however long nobody reads
  }

  # Events have none: the job gives every event it cannot use to the dead letters with its reason, and waits while Redis
  # is away. A limit of deliveries would carry good events off in an outage. Dead letters have none: nothing comes after.
  dynamic "dead_letter_policy" {
    for_each = each.value.role == "alerts" ? [google_pubsub_topic.undelivered[each.key].id] : []

    content {
      dead_letter_topic     = dead_letter_policy.value
      max_delivery_attempts = 20
    }
  }

  dynamic "retry_policy" {
    for_each = each.value.role == "alerts" ? [1] : []

    content {
      minimum_backoff = "10s"
      maximum_backoff = "600s"
    }
  }

  lifecycle {
    prevent_destroy = true # it holds events nobody else has
  }
}
