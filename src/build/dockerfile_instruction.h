// One syntax node → one typed instruction. Internal to the front end.
#pragma once

#include "base/result.h"
#include "build/dockerfile.h"

namespace ingot::build {

// Any instruction but FROM. kInvalid or kUnsupported; messages have no file position.
Result<InstructionBody> ParseInstruction(const SyntaxNode& node);
// FROM, without instructions.
Result<Stage> ParseFrom(const SyntaxNode& node);

}  // namespace ingot::build
