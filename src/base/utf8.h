// UTF-8 (RFC 3629): what JSON and YAML are made of.
#pragma once

#include <cstddef>
#include <string_view>

namespace ingot {

// Length of the sequence at the front of `bytes`, which is not empty; 0 when there is none.
size_t Utf8Length(std::string_view bytes);
bool IsUtf8(std::string_view bytes);

}  // namespace ingot
