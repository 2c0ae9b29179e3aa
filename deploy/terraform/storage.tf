# Buckets, and the registry of images.

# Every decision names its model: bundles are kept, also those that were replaced.
resource "google_storage_bucket" "bundles" {
  name                        = "${var.project}-riskstream"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  depends_on = [google_project_service.used]
}

# What launches leave behind; a running job needs what it was launched with.
resource "google_storage_bucket" "staging" {
  name                        = "${var.project}-riskstream-staging"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = 30
      matches_prefix = ["dataflow/temp/"]
    }
  }

  depends_on = [google_project_service.used]
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "riskstream"
  location      = var.region
  format        = "DOCKER"
  description   = "worker, training and serving (deploy/images)"

  docker_config {
    immutable_tags = true # a tag that is running means one image
  }

  cleanup_policies {
    id     = "keep-latest"
    action = "KEEP"

    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      tag_state  = "UNTAGGED"
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.used]
}
