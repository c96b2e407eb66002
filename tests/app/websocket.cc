#include "websocket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <vector>

namespace test_app {

namespace {

// RFC 3174. OpenSSL would make the static program ten times as large.
std::array<uint8_t, 20> Sha1(std::string text) {
  const uint64_t bits = text.size() * 8;
  text += '\x80';
  while (text.size() % 64 != 56) text += '\0';
  for (int i = 7; i >= 0; --i) text += static_cast<char>(bits >> (8 * i));
  uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const auto rotate = [](uint32_t x, int n) { return x << n | x >> (32 - n); };
  for (size_t at = 0; at < text.size(); at += 64) {
    uint32_t w[80];
    for (size_t i = 0; i < 16; ++i) {
      w[i] = 0;
      for (size_t k = 0; k < 4; ++k) w[i] = w[i] << 8 | static_cast<uint8_t>(text[at + 4 * i + k]);
    }
    for (size_t i = 16; i < 80; ++i) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (size_t i = 0; i < 80; ++i) {
      const uint32_t f = i < 20              ? (b & c) | (~b & d)
                         : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d)
                                             : b ^ c ^ d;
      const uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
      const uint32_t next = rotate(a, 5) + f + e + k + w[i];
      e = d;
      d = c;
      c = rotate(b, 30);
      b = a;
      a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
  }
  std::array<uint8_t, 20> out{};
  for (size_t i = 0; i < 20; ++i) out[i] = static_cast<uint8_t>(h[i / 4] >> (24 - 8 * (i % 4)));
  return out;
}

std::string Base64(const std::array<uint8_t, 20>& bytes) {
  static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    const uint32_t group = static_cast<uint32_t>(bytes[i]) << 16 |
                           (left > 1 ? static_cast<uint32_t>(bytes[i + 1]) << 8 : 0) |
                           (left > 2 ? bytes[i + 2] : 0);
    for (size_t k = 0; k < 4; ++k) out += k <= left ? kDigits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

// The value of a header, whatever the case of its name; "" when it is not there.
std::string Header(const std::string& heads, const std::string& lower) {
  std::string small = heads;
  for (char& c : small)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const size_t at = small.find("\r\n" + lower + ": ");
  if (at == std::string::npos) return "";
  const size_t begin = at + lower.size() + 4;
  return heads.substr(begin, heads.find("\r\n", begin) - begin);
}

bool Fill(int fd, std::string& data, size_t size) {
  char buffer[4096];
  while (data.size() < size) {
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    data.append(buffer, static_cast<size_t>(n));
  }
  return true;
}

bool Frame(int fd, uint8_t opcode, const std::string& text) {
  std::string out(1, static_cast<char>(0x80 | opcode));
  if (text.size() < 126) {
    out += static_cast<char>(text.size());
  } else {
    out += static_cast<char>(126);
    out += static_cast<char>(text.size() >> 8);
    out += static_cast<char>(text.size());
  }
  out += text;
  return ::send(fd, out.data(), out.size(), MSG_NOSIGNAL) >= 0;
}

}  // namespace

void EchoWebSocket(int fd, const std::string& heads, const std::string& revision, std::string data) {
  const std::string key = Header(heads, "sec-websocket-key");
  const std::string answer =
      "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Revision: " + revision +
      "\r\nSec-WebSocket-Accept: " + Base64(Sha1(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) + "\r\n\r\n";
  bool open = !key.empty() && ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) >= 0;
  while (open && Fill(fd, data, 2)) {
    const uint8_t opcode = static_cast<uint8_t>(data[0]) & 15;
    size_t size = static_cast<uint8_t>(data[1]) & 127;
    const size_t extended = size == 126 ? 2 : 0;
    if (size == 127 || !Fill(fd, data, 6 + extended)) break;
    if (extended != 0)
      size = static_cast<size_t>(static_cast<uint8_t>(data[2])) << 8 | static_cast<uint8_t>(data[3]);
    if (!Fill(fd, data, 6 + extended + size)) break;
    std::string text;
    for (size_t i = 0; i < size; ++i)
      text += static_cast<char>(data[6 + extended + i] ^ data[2 + extended + i % 4]);
    data.erase(0, 6 + extended + size);
    if (opcode == 8) Frame(fd, 8, text);
    open = opcode == 1   ? Frame(fd, 1, revision + " " + text)
           : opcode == 9 ? Frame(fd, 10, text)
                         : opcode != 8;
  }
  ::close(fd);
}

}  // namespace test_app
