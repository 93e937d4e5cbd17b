"""The dashboard as code: it writes manifests/grafana/dashboards/, with a developers' library, and never at run time."""
