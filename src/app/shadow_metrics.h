// What Prometheus is told of requests that are copied to new fleets (docs/formats/rollout.md, "Shadow").
#pragma once

#include "app/daemon.h"
#include "base/prometheus.h"

namespace ingot::app {

// Of the present step of each rollout; nothing where nothing is copied. Waits for the control thread.
void DescribeShadows(PrometheusText& text, Daemon& daemon);

}  // namespace ingot::app
