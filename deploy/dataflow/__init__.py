"""The Flex Template: the job as something that `gcloud` and the console can start, without this repository."""
