// What holds where a definition says nothing. The tables of shapes_*.cc state the same in the schema; a test
// holds the two together.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"

namespace ingot::definition {

inline constexpr uint32_t kDefaultReplicas = 1;
inline constexpr Milliseconds kDefaultReadyInterval{5};
inline constexpr Milliseconds kDefaultLiveInterval{5'000};
inline constexpr Milliseconds kDefaultProbeTimeout{1'000};
inline constexpr int kDefaultPasses = 1;
inline constexpr int kDefaultFails = 3;
inline constexpr Milliseconds kDefaultDeadline{30'000};
inline constexpr uint64_t kDefaultScratchBytes = uint64_t{64} << 20;
inline constexpr Milliseconds kDefaultGrace{10'000};
inline constexpr Milliseconds kDefaultDrain{5'000};
inline constexpr Milliseconds kDefaultKeepOld{600'000};
inline constexpr Milliseconds kDefaultCooldown{300'000};
inline constexpr uint32_t kDefaultBatch = 1;
inline constexpr uint32_t kDefaultSurge = 1;
inline constexpr uint32_t kDefaultMinRequests = 50;
inline constexpr uint32_t kDefaultConfidence = 9'990;      // basis points
inline constexpr int kDefaultShadowShare = 100;            // percent
inline constexpr int64_t kDefaultShadowDifferences = 100;  // basis points
inline constexpr int64_t kDefaultShadowErrors = 100;       // basis points
inline constexpr int kDefaultShadowLeast = 100;
inline constexpr Milliseconds kDefaultShadowTimeout{5'000};
inline constexpr Milliseconds kDefaultApprovalTime{24 * 3'600'000};
inline constexpr Milliseconds kDefaultCheckInterval{10'000};
inline constexpr Milliseconds kDefaultCheckTimeout{10'000};
inline constexpr int kDefaultCheckFails = 1;
inline constexpr Milliseconds kDefaultJobTimeout{3'600'000};
inline constexpr Milliseconds kDefaultTestTimeout{30'000};  // of an image test; applied by who runs it

// No default, but a limit: an instance has to be worth its start.
inline constexpr Milliseconds kLeastMaxAge{10'000};

}  // namespace ingot::definition
