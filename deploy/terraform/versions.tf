# One environment is one Google Cloud project and one state. See docs/infrastructure.md.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # terraform init -backend-config="bucket=..." -backend-config="prefix=riskstream"
  # The state holds Redis's password: nobody but who applies may read that bucket.
  backend "gcs" {}
}

provider "google" {
  project               = var.project
  region                = var.region
  user_project_override = true # the budget is billed to this project's quota
  billing_project       = var.project
  default_labels        = local.labels
}

data "google_project" "this" {}

locals {
  labels = {
    app         = "riskstream"
    environment = var.environment
  }

  # Of the code, written by `make declarations`; a test says when they are behind.
  topics = jsondecode(file("${path.module}/topics.json"))
  tables = jsondecode(file("${path.module}/tables.json"))
}

resource "google_project_service" "used" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "bigquerystorage.googleapis.com",
    "billingbudgets.googleapis.com",
    "certificatemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "dataflow.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "redis.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "servicenetworking.googleapis.com",
    "sts.googleapis.com",
    "storage.googleapis.com",
  ])

  service            = each.key
  disable_on_destroy = false # others in the project may use it
}
