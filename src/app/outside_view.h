// What `status` shows of the outside: servers elsewhere that routes give a share to, and certificates that an
// authority issues.
#pragma once

#include <vector>

#include "app/acme_service.h"
#include "base/json.h"
#include "base/prometheus.h"
#include "base/result.h"
#include "platform/router.h"

namespace ingot::app {

// Adds to the routes of an environment's status whether their server takes connections ("up": true, false, or
// null with "reason": could not look), and to its problems what that means for the service.
void AddOutsideServers(Json& status, const Result<std::vector<platform::OutsideState>>& servers);

// Adds to the routes with TLS what is known of a certificate that an authority issues for them, and to the
// problems which of them wait for one, and why.
void AddCertificates(Json& status, const std::vector<IssuedName>& issued, WallTime now);

// ingot_certificate_…: of GET /metrics.
void DescribeIssued(PrometheusText& text, const std::vector<IssuedName>& issued);

}  // namespace ingot::app
