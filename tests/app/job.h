// What test_app does as a job: one word after the other, such as print=hello sleep=100 exit=3.
#pragma once

#include <string>

namespace test_app {

// The exit code. `connect` asks HOST:PORT over HTTP and gives what it says.
int RunJob(const char* const* words, std::string (*connect)(const std::string&));

}  // namespace test_app
