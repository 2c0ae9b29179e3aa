# Memorystore: two nodes, TLS, a password, nothing evicted. A record that is evicted would be a customer forgotten.

resource "google_redis_instance" "records" {
  name                    = "riskstream-records"
  tier                    = "STANDARD_HA"
  memory_size_gb          = var.redis_memory_gb
  redis_version           = "REDIS_7_2"
  region                  = var.region
  authorized_network      = google_compute_network.riskstream.id
  connect_mode            = "PRIVATE_SERVICE_ACCESS"
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  deletion_protection     = true

  redis_configs = {
    "maxmemory-policy" = "noeviction"
  }

  # For the loss of both nodes; docs/decisions/0006 says what a failover may lose, and how that is seen and mended.
  persistence_config {
    persistence_mode    = "RDB"
    rdb_snapshot_period = "ONE_HOUR"
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = "TUESDAY"

      start_time {
        hours   = 3
        minutes = 0
        seconds = 0
        nanos   = 0
      }
    }
  }

  depends_on = [google_service_networking_connection.services]
}

resource "google_secret_manager_secret" "redis_password" {
  secret_id = "riskstream-redis-auth"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.used]
}

resource "google_secret_manager_secret_version" "redis_password" {
  secret      = google_secret_manager_secret.redis_password.id
  secret_data = google_redis_instance.records.auth_string
}

# The authority that Memorystore signs with. Not a secret; workers read it when they start.
resource "google_storage_bucket_object" "redis_ca" {
  bucket       = google_storage_bucket.bundles.name
  name         = "redis-ca.pem"
  content      = join("\n", [for each in google_redis_instance.records.server_ca_certs : each.cert])
  content_type = "application/x-pem-file"
}

# Full means that every write is refused and the stream stands still: be told a long way before.
resource "google_monitoring_alert_policy" "redis_memory" {
  for_each = { warning = 0.7, critical = 0.85 }

  display_name          = "riskstream: Redis memory above ${each.value * 100} % (${each.key})"
  combiner              = "OR"
  severity              = upper(each.key)
  notification_channels = var.alert_channels

  conditions {
    display_name = "memory used of memory there is"

    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"redis_instance\"",
        "resource.labels.instance_id = \"${google_redis_instance.records.id}\"",
        "metric.type = \"redis.googleapis.com/stats/memory/usage_ratio\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = each.value
      duration        = "300s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Records are never evicted. Raise redis_memory_gb and apply: Memorystore scales while it serves. `riskstream delete-records` deletes the records of features that no job uses any more."
  }
}
