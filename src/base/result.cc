#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace ingot {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kInvalid:
      return "invalid";
    case Code::kNotFound:
      return "not_found";
    case Code::kExists:
      return "exists";
    case Code::kConflict:
      return "conflict";
    case Code::kRefused:
      return "refused";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kTimeout:
      return "timeout";
    case Code::kNoSpace:
      return "no_space";
    case Code::kPermission:
      return "permission";
    case Code::kCorrupt:
      return "corrupt";
    case Code::kFailed:
      return "failed";
    case Code::kCancelled:
      return "cancelled";
    case Code::kIo:
      return "io";
    case Code::kInternal:
      return "internal";
  }
  return "internal";
}

std::string Error::Render() const {
  std::string out;
  for (auto it = context_.rbegin(); it != context_.rend(); ++it) out += *it + ": ";
  return out + message_;
}

Error ErrnoError(int error_number, std::string_view doing) {
  Code code = Code::kIo;
  switch (error_number) {
    case ENOENT:
      code = Code::kNotFound;
      break;
    case EEXIST:
      code = Code::kExists;
      break;
    case ENOSPC:
    case EDQUOT:
      code = Code::kNoSpace;
      break;
    case EACCES:
    case EPERM:
      code = Code::kPermission;
      break;
    case ETIMEDOUT:
      code = Code::kTimeout;
      break;
    case EBUSY:
      code = Code::kConflict;
      break;
    case ECONNREFUSED:
      code = Code::kUnavailable;
      break;
    case ENOSYS:
    case EOPNOTSUPP:
      code = Code::kUnsupported;
      break;
    default:
      break;
  }
  char buffer[128];
  const char* reason = strerror_r(error_number, buffer, sizeof buffer);
  return Error(code, "cannot " + std::string(doing) + ": " + reason);
}

}  // namespace ingot
