# What the gateway of deploy/kubernetes/serving/base/gateway.yaml names: an address, a certificate, TLS 1.2 at least, and rules for
# who may ask how often. All are called riskstream-serving; a test compares both.

resource "google_compute_global_address" "serving" {
  for_each = local.serves

  name = "riskstream-serving"
}

# The certificate is there before the name points to us: a record of its own proves that the name is ours.
resource "google_certificate_manager_dns_authorization" "serving" {
  for_each = local.serves

  name   = "riskstream-serving"
  domain = var.serving.host

  depends_on = [google_project_service.used]
}

resource "google_certificate_manager_certificate" "serving" {
  for_each = local.serves

  name = "riskstream-serving"

  managed {
    domains            = [var.serving.host]
    dns_authorizations = [google_certificate_manager_dns_authorization.serving[each.key].id]
  }
}

resource "google_certificate_manager_certificate_map" "serving" {
  for_each = local.serves

  name = "riskstream-serving"

  depends_on = [google_project_service.used]
}

resource "google_certificate_manager_certificate_map_entry" "serving" {
  for_each = local.serves

  name         = "riskstream-serving"
  map          = google_certificate_manager_certificate_map.serving[each.key].name
  certificates = [google_certificate_manager_certificate.serving[each.key].id]
  hostname     = var.serving.host
}

resource "google_compute_ssl_policy" "serving" {
  for_each = local.serves

  name            = "riskstream-serving"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

# Who asks without a good token gets nothing in any case; this keeps them from asking a million times.
resource "google_compute_security_policy" "serving" {
  for_each = local.serves

  name = "riskstream-serving"

  rule {
    priority    = 100
    action      = "deny(404)"
    description = "Health is looked at from inside; Google's checks do not come through here"

    match {
      expr {
        expression = "request.path.startsWith('/ai/health')"
      }
    }
  }

  rule {
    priority    = 1000
    action      = "throttle"
    description = "So many requests a minute of one address"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.serving.requests_per_minute
        interval_sec = 60
      }
    }
  }

  rule {
    priority    = 2147483647
    action      = "allow"
    description = "Cloud Armor demands a last rule"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.used]
}
