variable "project" {
  description = "The Google Cloud project; one for each environment."
  type        = string
}

variable "region" {
  description = "Where everything is: job, Redis, buckets, tables."
  type        = string
  default     = "europe-west1"
}

variable "environment" {
  description = "dev, staging or production."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "production"], var.environment)
    error_message = "environment: expected dev, staging or production."
  }
}

variable "use_cases" {
  description = "Names of the use cases (files of usecases/): each has its own topics."
  type        = set(string)
  default     = ["offboarding"]
}

variable "keep_order" {
  description = "Whether subscriptions of events keep the order of ordering keys. A subscription cannot be changed: decide before the first apply."
  type        = bool
  default     = false
}

variable "parallel_runs" {
  description = "Use cases whose next job runs beside the present one for a while: it gets a subscription and alerts of its own."
  type        = set(string)
  default     = []
}

variable "subnet_range" {
  description = "Addresses of Dataflow workers and of batch jobs."
  type        = string
  default     = "10.80.0.0/20"
}

variable "redis_memory_gb" {
  description = "Of Memorystore. Records are never evicted: docs/infrastructure.md says how much is needed."
  type        = number
  default     = 5
}

variable "retention_days" {
  description = "How long rows of a table are kept, by the day of the event; null: for ever."
  type = object({
    assessments  = optional(number, 1830) # five years: every decision can be reproduced as long
    dead_letters = optional(number, 90)
    audit        = optional(number, 1830) # as long as what it is about
  })
  default = {}
}

variable "history_datasets" {
  description = "Datasets of this project that training reads beside its own."
  type        = set(string)
  default     = []
}

variable "readers" {
  description = "Who reads assessments: IAM members such as group:risk@example.com."
  type        = set(string)
  default     = []
}

variable "image_readers" {
  description = "Accounts of other environments that pull this one's images: images are built once."
  type        = set(string)
  default     = []
}

variable "alert_channels" {
  description = "Names of notification channels of Cloud Monitoring."
  type        = list(string)
  default     = []
}

variable "budget" {
  description = "Of a month, in the billing account's currency; null: no budget."
  type = object({
    billing_account = string
    amount          = number
  })
  default = null
}

variable "github_repository" {
  description = "OWNER/NAME whose workflows may push images and launch jobs, without keys; null: none."
  type        = string
  default     = null
}

variable "kubernetes_namespace" {
  description = "Where the batch jobs of deploy/kubernetes/base run in a cluster of this project; null: in none."
  type        = string
  default     = null
}

variable "training_image" {
  description = "Target training of deploy/images/Dockerfile, by tag or digest; null: no batch jobs on Cloud Run."
  type        = string
  default     = null
}

variable "mlflow_uri" {
  description = "The registry of models: a bundle root in a bucket cannot hold its SQLite file."
  type        = string
  default     = null

  validation {
    condition     = var.training_image == null || var.mlflow_uri != null
    error_message = "mlflow_uri: batch jobs on Cloud Run need a registry, expected a URI such as https://mlflow.example.com."
  }
}

variable "retrain" {
  description = "Retraining by a schedule on Cloud Run; null: the CronJob or the Airflow DAG does it."
  type = object({
    history    = list(string) # files as `riskstream retrain` takes them: bq://PROJECT.DATASET.TABLE
    use_case   = optional(string, "offboarding")
    schedule   = optional(string, "0 3 * * 1")
    notify_url = optional(string)
  })
  default = null
}

variable "drift" {
  description = "A look at drift by a schedule on Cloud Run; null: the CronJob or the Airflow DAG does it."
  type = object({
    use_case   = optional(string, "offboarding")
    schedule   = optional(string, "0 5 * * *")
    notify_url = optional(string)
  })
  default = null
}

variable "serving" {
  description = "The REST service and a cluster for it; null: neither."
  type = object({
    host                = string                 # https://HOST/ai/
    requests_per_minute = optional(number, 6000) # of one address; what is more is answered with 429
    nodes_range         = optional(string, "10.81.0.0/20")
    pods_range          = optional(string, "10.84.0.0/16")
    services_range      = optional(string, "10.82.0.0/20")
  })
  default = null

  validation {
    condition     = var.serving == null ? true : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.serving.host))
    error_message = "serving.host: expected a name such as prod.deblock.com, without https:// and without a path."
  }

  validation {
    condition     = var.serving == null ? true : var.serving.requests_per_minute >= 60
    error_message = "serving.requests_per_minute: expected 60 or more; one caller sends all its requests from one address."
  }

  validation {
    condition = var.serving == null ? true : alltrue([
      for range in [var.serving.nodes_range, var.serving.pods_range, var.serving.services_range] : can(cidrnetmask(range))
    ])
    error_message = "serving: expected ranges such as 10.84.0.0/16."
  }
}
