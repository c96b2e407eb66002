// The tests of an image: commands and requests on a throw-away instance of it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "build/progress.h"
#include "definition/definition.h"
#include "oci/digest.h"
#include "platform/runtime.h"
#include "store/store.h"

namespace ingot::build {

struct ImageTests {
  std::vector<definition::ImageTest> tests;
  // Writable paths besides /tmp, /run and /var/tmp: the image's volumes and what its services declare.
  std::vector<std::string> scratch;
};

// The tests an image of the definition has to pass, with the scratch of the services that run it.
ImageTests TestsOf(const definition::Definition& definition, const std::string& image);

// Identity of the tests, for cache keys.
std::string TestsKey(const ImageTests& tests);
// "run: nginx -t", "http: GET :8080/healthz".
std::string TestName(const definition::ImageTest& test);

// Runs them in order, each on a fresh instance: sealed read-only root, loopback only, the image's own
// environment and user. A `run` must exit 0 within its timeout (60 s unless given); an `http` must answer
// with its status within its timeout (30 s), asked again until then. The record (JSON) names each test, its
// outcome and time. kFailed names the first test that failed, with what it printed; kTimeout.
Result<std::string> RunImageTests(store::Store& store, platform::Sandbox& sandbox, const oci::Digest& image,
                                  const ImageTests& tests, const std::function<void(BuildEvent)>& report);

}  // namespace ingot::build
