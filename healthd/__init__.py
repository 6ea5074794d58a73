"""healthd: health checks and failover for fleets of VPN nodes."""

__version__ = "0.1.0"
