# What jobs are told. The keys of job_environments are those of deploy/env/*.yaml, and JSON is YAML:
# terraform output -json job_environments | jq .offboarding > deploy/env/production.yaml

output "job_environments" {
  description = "By use case, the settings of its streaming job that come from here; image and sizes are added by hand."
  value = {
    for use_case in var.use_cases : use_case => {
      project            = var.project
      region             = var.region
      use_case           = "usecases/${use_case}.yaml"
      bundle             = local.bundle_root
      subscription       = one([for topic, each in local.of_role["events"] : each.subscription if each.use_case == use_case])
      alerts_topic       = one([for topic, each in local.of_role["alerts"] : topic if each.use_case == use_case])
      dead_letters_topic = one([for topic, each in local.of_role["dead_letters"] : topic if each.use_case == use_case])
      dataset            = google_bigquery_dataset.riskstream.dataset_id
      redis_url          = local.redis_address
      redis_secret       = google_secret_manager_secret.redis_password.id
      redis_ca_file      = local.redis_ca
      staging            = "gs://${google_storage_bucket.staging.name}/dataflow"
      service_account    = google_service_account.accounts["worker"].email
      subnetwork         = "regions/${var.region}/subnetworks/${google_compute_subnetwork.workers.name}"
    }
  }
}

output "images" {
  description = "Where images are pushed."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "service_accounts" {
  description = "By what they are for."
  value       = { for name, account in google_service_account.accounts : name => account.email }
}

output "github_provider" {
  description = "What google-github-actions/auth takes as workload_identity_provider; null without a repository."
  value       = one(google_iam_workload_identity_pool_provider.github[*].name)
}

# What the ConfigMap of deploy/kubernetes/serving/overlays is told, and what else is written there.
output "serving_environments" {
  description = "By use case, the settings of the REST service that come from here; issuer, audience and callers are added by hand."
  value = {
    for use_case in var.use_cases : use_case => {
      GOOGLE_CLOUD_PROJECT    = var.project
      RISKSTREAM_USE_CASE     = "usecases/${use_case}.yaml"
      RISKSTREAM_BUNDLE       = local.bundle_root
      REDIS_URL               = local.redis_address
      RISKSTREAM_REDIS_SECRET = google_secret_manager_secret.redis_password.id
      REDIS_CA_FILE           = local.redis_ca
    }
  }
}

output "redis_range" {
  description = "Where Redis may be: what the network policy `redis` of the REST service lets through."
  value       = "${google_compute_global_address.services.address}/${google_compute_global_address.services.prefix_length}"
}

output "serving_records" {
  description = "What has to be said of the REST service's name in its DNS zone; null without a REST service."
  value = var.serving == null ? null : {
    address     = { name = var.serving.host, type = "A", data = google_compute_global_address.serving["serving"].address }
    certificate = one(google_certificate_manager_dns_authorization.serving["serving"].dns_resource_record)
  }
}
