"""The stream: messages in; assessments, alerts and dead letters out."""
