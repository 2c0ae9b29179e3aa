# A network without a way in: workers have no public address, reach Google's services privately and Redis by peering.

resource "google_compute_network" "riskstream" {
  name                    = "riskstream"
  auto_create_subnetworks = false

  depends_on = [google_project_service.used]
}

resource "google_compute_subnetwork" "workers" {
  name                     = "riskstream-workers"
  network                  = google_compute_network.riskstream.id
  ip_cidr_range            = var.subnet_range
  private_ip_google_access = true

  log_config {
    flow_sampling = 0.1
    metadata      = "INCLUDE_ALL_METADATA"
  }
}

# Dataflow's workers talk to each other on these ports; it gives them this tag.
resource "google_compute_firewall" "dataflow" {
  name        = "riskstream-dataflow"
  network     = google_compute_network.riskstream.id
  direction   = "INGRESS"
  source_tags = ["dataflow"]
  target_tags = ["dataflow"]

  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }
}

# Addresses for what Google runs for us: Memorystore.
resource "google_compute_global_address" "services" {
  name          = "riskstream-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = google_compute_network.riskstream.id
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.riskstream.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]

  depends_on = [google_project_service.used]
}
