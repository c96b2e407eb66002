// Result<T>: a value or an Error. Nothing below app/ throws, prints or logs; it returns one of these.
//
// The names follow std::expected (C++23). A third-party exception stops in the file that wraps the library.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ingot {

// What kind of thing went wrong: what a caller can branch on. The text is for people.
enum class Code {
  kInvalid,      // input that breaks a rule: a definition, a digest, a Dockerfile
  kNotFound,     // a named thing that does not exist
  kExists,       // a name already taken
  kConflict,     // somebody else changed or holds it: a second apply, a listener in use
  kRefused,      // policy, a law or a guarantee forbids it
  kUnsupported,  // this host, or this version of Ingot, cannot do it
  kUnavailable,  // something needed does not answer or is not installed
  kTimeout,      // a deadline passed
  kNoSpace,      // disk, memory or an address range is full
  kPermission,   // the operating system says no
  kCorrupt,      // stored bytes differ from what their digest promises
  kFailed,       // a command, test or probe ran and failed
  kCancelled,    // somebody asked for it to stop
  kIo,           // any other failure of the operating system
  kInternal,     // our bug
};

// The code's stable name in JSON output and events: "invalid", "not_found", …
std::string_view CodeName(Code code);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code() const { return code_; }
  // What happened and what to do about it, one or more full sentences without a trailing newline.
  const std::string& message() const { return message_; }
  // What was being done, innermost first.
  const std::vector<std::string>& context() const { return context_; }

  // Adds what the caller was doing ("building image web"); returns itself so that it can be chained.
  Error&& While(std::string doing) && {
    context_.push_back(std::move(doing));
    return std::move(*this);
  }

  // "building image web: cannot read api/Dockerfile: no such file"
  std::string Render() const;

 private:
  Code code_;
  std::string message_;
  std::vector<std::string> context_;
};

// An Error from errno (pass the number, read before anything else can change it), with the code that belongs
// to it: ENOENT → kNotFound, EEXIST → kExists, ENOSPC/EDQUOT → kNoSpace, EACCES/EPERM → kPermission,
// ETIMEDOUT → kTimeout, EBUSY → kConflict, ECONNREFUSED → kUnavailable, ENOSYS/EOPNOTSUPP → kUnsupported,
// anything else → kIo.  Message: "cannot <doing>: <reason>".
Error ErrnoError(int error_number, std::string_view doing);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() & { return std::get<1>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }
  T value_or(T other) && { return has_value() ? std::move(*this).value() : std::move(other); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error)
      : error_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return error_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  void value() const {}
  Error& error() & { return std::get<1>(error_); }
  const Error& error() const& { return std::get<1>(error_); }
  Error&& error() && { return std::get<1>(std::move(error_)); }

 private:
  std::variant<std::monostate, Error> error_;
};

}  // namespace ingot

// auto x = TRY(F());   TRY(G());   returns the Error from the enclosing function when there is one. May be
// nested. Not between the braces of an initializer: g++ 12 forgets the members that were made before it.
#define TRY(...) INGOT_TRY_NAMED(__COUNTER__, __VA_ARGS__)
#define INGOT_TRY_NAMED(counter, ...) INGOT_TRY_BODY(counter, __VA_ARGS__)
#define INGOT_TRY_BODY(counter, ...)                                           \
  __extension__({                                                              \
    auto try_result_##counter = (__VA_ARGS__);                                 \
    if (!try_result_##counter) return std::move(try_result_##counter).error(); \
    std::move(try_result_##counter).value();                                   \
  })
