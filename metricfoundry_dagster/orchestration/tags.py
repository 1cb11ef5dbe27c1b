"""Run tags of workers. Their values never hold a secret: everybody who sees the UI sees them."""

#: The process that carries a run: host, process id and the moment when that process started.
WORKER_HOST = "metricfoundry/worker_host"
WORKER_PID = "metricfoundry/worker_pid"
WORKER_STARTED = "metricfoundry/worker_started"
