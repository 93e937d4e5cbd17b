"""The alert rules as code: they make manifests/grafana/alerting/, and never at run time."""
