# A cluster for what runs for ever beside the job: the REST service (deploy/kubernetes/serving). GKE Autopilot: nodes are
# Google's to keep, pods are paid for, and network policies and Workload Identity are always on.

locals {
  serves = var.serving == null ? toset([]) : toset(["serving"])
}

resource "google_compute_subnetwork" "cluster" {
  for_each = local.serves

  name                     = "riskstream-cluster"
  network                  = google_compute_network.riskstream.id
  ip_cidr_range            = var.serving.nodes_range
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = var.serving.pods_range
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = var.serving.services_range
  }
}

# Nodes have no public addresses. Out of Google's network go pods only for what is not Google's: an issuer of tokens, a hook.
resource "google_compute_router" "cluster" {
  for_each = local.serves

  name    = "riskstream-cluster"
  region  = var.region
  network = google_compute_network.riskstream.id
}

resource "google_compute_router_nat" "cluster" {
  for_each = local.serves

  name                               = "riskstream-cluster"
  router                             = google_compute_router.cluster[each.key].name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.cluster[each.key].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

resource "google_container_cluster" "riskstream" {
  for_each = local.serves

  name                = "riskstream-serving"
  location            = var.region
  enable_autopilot    = true
  deletion_protection = true
  network             = google_compute_network.riskstream.id
  subnetwork          = google_compute_subnetwork.cluster[each.key].id

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes = true
  }

  # By its name only, which asks for an identity and container.clusters.connect; there is no address to attack.
  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = true
    }

    ip_endpoints_config {
      enabled = false
    }
  }

  cluster_autoscaling {
    auto_provisioning_defaults {
      service_account = google_service_account.accounts["nodes"].email
      oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"] # what it may do, its roles say
    }
  }

  release_channel {
    channel = "REGULAR"
  }

  gateway_api_config {
    channel = "CHANNEL_STANDARD"
  }

  maintenance_policy {
    daily_maintenance_window {
      start_time = "03:00"
    }
  }

  depends_on = [google_project_iam_member.accounts, google_artifact_registry_repository_iam_member.accounts]
}

# The pods' own service account is this one. The pool of identities is there as soon as the project has a cluster.
resource "google_service_account_iam_member" "serving" {
  for_each = local.serves

  service_account_id = google_service_account.accounts["serving"].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[riskstream-serving/riskstream-serving]"

  depends_on = [google_container_cluster.riskstream]
}

# The service publishes an event before it assesses it, and looks whether the topic is there.
resource "google_pubsub_topic_iam_member" "serving" {
  for_each = var.serving == null ? {} : local.of_role["events"]

  topic  = google_pubsub_topic.streams[each.key].id
  role   = "roles/pubsub.publisher"
  member = google_service_account.accounts["serving"].member
}

resource "google_pubsub_topic_iam_member" "looks" {
  for_each = var.serving == null ? {} : local.of_role["events"]

  topic  = google_pubsub_topic.streams[each.key].id
  role   = "roles/pubsub.viewer"
  member = google_service_account.accounts["serving"].member
}

# It appends to its audit trail, and to no other table.
resource "google_bigquery_table_iam_member" "audit" {
  for_each = local.serves

  dataset_id = google_bigquery_dataset.riskstream.dataset_id
  table_id   = google_bigquery_table.tables["audit"].table_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.accounts["serving"].member
}

# A release changes what runs in the cluster, and compares its metrics before it goes on.
resource "google_project_iam_member" "cluster" {
  for_each = local.serves

  project = var.project
  role    = "roles/container.developer"
  member  = google_service_account.accounts["launcher"].member
}

resource "google_project_iam_member" "metrics" {
  for_each = local.serves

  project = var.project
  role    = "roles/monitoring.viewer"
  member  = google_service_account.accounts["launcher"].member
}

# The adapter that tells the autoscaler how many requests are in flight; docs/deploy.md installs it.
resource "google_project_iam_member" "adapter" {
  for_each = local.serves

  project = var.project
  role    = "roles/monitoring.viewer"
  member = join("/", [
    "principal://iam.googleapis.com/projects/${data.google_project.this.number}/locations/global",
    "workloadIdentityPools/${var.project}.svc.id.goog/subject/ns/custom-metrics/sa/custom-metrics-stackdriver-adapter",
  ])

  depends_on = [google_container_cluster.riskstream]
}
