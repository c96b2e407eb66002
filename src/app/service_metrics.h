// What Prometheus is told of the services that are deployed.
#pragma once

#include "app/daemon.h"
#include "base/prometheus.h"

namespace ingot::app {

// Of the active revision of each environment: how many instances there shall be, and are, and how many
// spares. What could not be observed has no sample. Waits for the control thread.
void DescribeServices(PrometheusText& text, Daemon& daemon);

}  // namespace ingot::app
