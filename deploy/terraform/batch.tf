# Batch jobs on Cloud Run, inside the network: retraining and a look at drift by the clock, any other verb when somebody asks.

locals {
  on_cloud_run  = var.training_image == null ? toset([]) : toset(["command"])
  bundle_root   = "gs://${google_storage_bucket.bundles.name}/bundles"
  redis_address = "rediss://${google_redis_instance.records.host}:${google_redis_instance.records.port}"
  redis_ca      = "gs://${google_storage_bucket.bundles.name}/${google_storage_bucket_object.redis_ca.name}"

  batch_environment = {
    GOOGLE_CLOUD_PROJECT = var.project
    RISKSTREAM_BUNDLE    = local.bundle_root
    MLFLOW_TRACKING_URI  = var.mlflow_uri
    TMPDIR               = "/tmp"
  }
}

locals {
  batch_jobs = {
    retrain = {
      given       = var.retrain
      arguments   = try(var.retrain.history, [])
      description = "Trains a challenger and promotes it if it is better"
      cpu         = "4"
      memory      = "16Gi"
      timeout     = "21600s"
    }
    drift = {
      given       = var.drift
      arguments   = []
      description = "Compares scores and features of the last week with training's"
      cpu         = "1"
      memory      = "2Gi"
      timeout     = "3600s"
    }
  }

  scheduled = {
    for verb, job in local.batch_jobs :
    verb => merge(job, {
      schedule = job.given.schedule
      words = concat(
        [verb],
        job.arguments,
        ["--use-case", "usecases/${job.given.use_case}.yaml", "--json"],
        job.given.notify_url == null ? [] : ["--notify", job.given.notify_url],
      )
    })
    if var.training_image != null && job.given != null
  }
}

# Exit codes 10 (waits for approval), 11 (rejected) and 12 (drift) end an execution as failed too: --notify and the log say
# which. Nothing is tried again: the same history gives the same model, the same log the same figures.
resource "google_cloud_run_v2_job" "scheduled" {
  for_each = local.scheduled

  name                = "riskstream-${each.key}"
  location            = var.region
  deletion_protection = false # holds nothing

  template {
    template {
      service_account = google_service_account.accounts["training"].email
      max_retries     = 0
      timeout         = each.value.timeout

      containers {
        image   = var.training_image
        command = ["riskstream"]
        args    = each.value.words

        resources {
          limits = {
            cpu    = each.value.cpu
            memory = each.value.memory
          }
        }

        dynamic "env" {
          for_each = local.batch_environment

          content {
            name  = env.key
            value = env.value
          }
        }
      }

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"

        network_interfaces {
          network    = google_compute_network.riskstream.name
          subnetwork = google_compute_subnetwork.workers.name
        }
      }
    }
  }

  depends_on = [google_project_service.used]
}

resource "google_cloud_scheduler_job" "scheduled" {
  for_each = local.scheduled

  name             = "riskstream-${each.key}"
  region           = var.region
  description      = each.value.description
  schedule         = each.value.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s" # of the request that starts it

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.scheduled[each.key].id}:run"

    oauth_token {
      service_account_email = google_service_account.accounts["schedule"].email
    }
  }
}

resource "google_cloud_run_v2_job_iam_member" "schedule" {
  for_each = local.scheduled

  name     = google_cloud_run_v2_job.scheduled[each.key].name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.accounts["schedule"].member
}

# backfill, reconcile, status, publish ... : gcloud run jobs execute riskstream-command --args=reconcile,--json
resource "google_cloud_run_v2_job" "command" {
  for_each = local.on_cloud_run

  name                = "riskstream-command"
  location            = var.region
  deletion_protection = false

  template {
    template {
      service_account = google_service_account.accounts["training"].email
      max_retries     = 0
      timeout         = "21600s"

      containers {
        image   = var.training_image
        command = ["riskstream"]
        args    = ["--help"]

        resources {
          limits = {
            cpu    = "4"
            memory = "16Gi"
          }
        }

        dynamic "env" {
          for_each = local.batch_environment

          content {
            name  = env.key
            value = env.value
          }
        }

        env {
          name = "REDIS_URL"

          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.redis_url.secret_id
              version = "latest"
            }
          }
        }

        dynamic "volume_mounts" {
          for_each = google_storage_bucket.replay

          content {
            name       = "replay"
            mount_path = "/replay"
          }
        }
      }

      dynamic "volumes" {
        for_each = google_storage_bucket.replay

        content {
          name = "replay"

          gcs {
            bucket    = volumes.value.name
            read_only = true
          }
        }
      }

      vpc_access {
        egress = "PRIVATE_RANGES_ONLY"

        network_interfaces {
          network    = google_compute_network.riskstream.name
          subnetwork = google_compute_subnetwork.workers.name
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.url]
}

# The launcher asks for commands in a release: replayed traffic, and whether it reconciles.
resource "google_cloud_run_v2_job_iam_member" "launcher" {
  for_each = local.on_cloud_run

  name     = google_cloud_run_v2_job.command[each.key].name
  location = var.region
  role     = "roles/run.jobsExecutorWithOverrides"
  member   = google_service_account.accounts["launcher"].member
}

# The address with the password in it, for commands that take REDIS_URL.
resource "google_secret_manager_secret" "redis_url" {
  secret_id = "riskstream-redis-url"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.used]
}

resource "google_secret_manager_secret_version" "redis_url" {
  secret = google_secret_manager_secret.redis_url.id
  secret_data = format(
    "rediss://:%s@%s:%d",
    urlencode(google_redis_instance.records.auth_string),
    google_redis_instance.records.host,
    google_redis_instance.records.port,
  )
}

resource "google_secret_manager_secret_iam_member" "url" {
  secret_id = google_secret_manager_secret.redis_url.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.accounts["training"].member
}
