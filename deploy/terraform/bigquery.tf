# Dataset, tables and views as `riskstream tables` makes them, out of the same declaration, and how long rows are kept.

resource "google_bigquery_dataset" "riskstream" {
  dataset_id                 = "riskstream"
  location                   = var.region
  description                = "What riskstream says about events. Read the views: tables are appended at least once."
  delete_contents_on_destroy = false

  depends_on = [google_project_service.used]
}

locals {
  dataset_path = "${var.project}.${google_bigquery_dataset.riskstream.dataset_id}"
}

resource "google_bigquery_table" "tables" {
  for_each = local.tables.tables

  dataset_id          = google_bigquery_dataset.riskstream.dataset_id
  table_id            = each.key
  description         = each.value.description
  schema              = jsonencode(each.value.schema)
  clustering          = each.value.clustered_by
  deletion_protection = true

  time_partitioning {
    type          = "DAY"
    field         = each.value.day_of
    expiration_ms = var.retention_days[each.key] == null ? null : var.retention_days[each.key] * 86400000
  }
}

resource "google_bigquery_table" "views" {
  for_each = local.tables.views

  dataset_id          = google_bigquery_dataset.riskstream.dataset_id
  table_id            = each.key
  deletion_protection = false # holds no data

  view {
    query          = replace(each.value, "PROJECT.DATASET", local.dataset_path)
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.tables]
}

# They read the views.
resource "google_bigquery_table" "reports" {
  for_each = local.tables.reports

  dataset_id          = google_bigquery_dataset.riskstream.dataset_id
  table_id            = each.key
  deletion_protection = false

  view {
    query          = replace(each.value, "PROJECT.DATASET", local.dataset_path)
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.views]
}
