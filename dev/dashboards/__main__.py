"""Write what Grafana is provisioned with: `make dashboards`."""

from __future__ import annotations

from contextcore_install.stack import provisioned
from dev.alerts.rules import alert_rules
from dev.dashboards.installation import installation_dashboard

FILES = {"dashboards/installation.json": installation_dashboard, "alerting/rules.json": alert_rules}
"""What makes each file of manifests/grafana/."""

if __name__ == "__main__":
    for name, made in FILES.items():
        (provisioned.FOLDER / name).write_text(made(), encoding="utf-8")
