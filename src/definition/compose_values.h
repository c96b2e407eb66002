// Values as a Compose file writes them. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::definition {

// ${…} of Compose. Where both mean the same, it becomes ours; else its value is put in.
class ComposeVariables {
 public:
  explicit ComposeVariables(const std::map<std::string, std::string>& dot_env) : dot_env_(dot_env) {}
  // For a value of a definition. `empty`: a variable that nobody sets is "" there, as in Compose.
  std::string ToOurs(std::string_view text, bool empty) const;
  // As the definition's reader would see it with nothing in its environment.
  std::string Literal(std::string_view text) const;

 private:
  std::string Walk(std::string_view text, bool literal, bool empty) const;
  const std::map<std::string, std::string>& dot_env_;
};

// A command in one line, as Compose splits it: words, quotes, backslashes; no shell. Unset: an open quote.
std::optional<std::vector<std::string>> SplitCommand(std::string_view line);

struct ComposePort {
  std::string host_ip;
  uint16_t published = 0;  // 0: any that is free
  uint16_t target = 0;
  bool udp = false;
};
// "8080:80", "127.0.0.1:8000-8001:80-81/tcp", "80". Empty: not that.
std::vector<ComposePort> ParseComposePorts(std::string_view text);

// "1h30m", "90s", "500ms", "1.5s" → ours ("90s"); unset: not that, or nothing.
std::optional<std::string> ComposeDuration(std::string_view text);
// "512m", "1.5gb", "100000b" → whole bytes in digits.
std::optional<std::string> ComposeSize(std::string_view text);

// A tmpfs as Compose mounts it: "/run:size=10m,mode=1777,exec".
struct ComposeTmpfs {
  std::string path;
  std::string size_bytes;  // in digits; empty: none that can be told
  bool exec = false;
  std::vector<std::string>
      left_out;  // options that say something that does not hold here, each with its reason
};
ComposeTmpfs ParseComposeTmpfs(std::string_view text);
// Takes one option, such as "size" with "10m"; `value` is empty where it has none.
void AddTmpfsOption(ComposeTmpfs& tmpfs, const std::string& name, const std::string& value);

// What an image is known to listen on, by the end of its name: 5432 for postgres:16; 0: not known.
uint16_t KnownPort(std::string_view image);
// Whether such a port usually speaks HTTP.
bool UsuallyHttp(uint16_t port);

// Why a key of a service cannot be taken; "" when the key is none of Compose's.
std::string_view WhyNotInService(std::string_view key);

}  // namespace ingot::definition
