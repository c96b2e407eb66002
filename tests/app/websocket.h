// A WebSocket server's end (RFC 6455) of one connection, for test_app.
#pragma once

#include <string>

namespace test_app {

// Takes the upgrade that `heads` asks for, then answers each text frame with "REVISION TEXT" and each ping,
// until the other end closes. Closes `fd`. `pending`: bytes read beyond the request.
void EchoWebSocket(int fd, const std::string& heads, const std::string& revision, std::string pending);

}  // namespace test_app
