#include "adapters/curl.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "base/pipe_signal.h"
#include "base/sync.h"
#include "base/units.h"

namespace ingot::adapters {
namespace {

using CurlClock = std::chrono::steady_clock;

constexpr char kCurlLibrary[] = "libcurl.so.4";
constexpr uint64_t kStalledBytes = 1024;
constexpr size_t kMaxHeaderBytes = 256 << 10;
constexpr size_t kMaxIdleHandles = 8;
constexpr Milliseconds kTimerSlack{10};  // libcurl counts whole milliseconds, and may end a little early

// The functions that are used, by their names in the library.
struct CurlLibrary {
  decltype(&curl_global_init) global_init = nullptr;
  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_reset) easy_reset = nullptr;
  decltype(&curl_easy_setopt) easy_setopt = nullptr;
  decltype(&curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&curl_easy_perform) easy_perform = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&curl_easy_strerror) easy_strerror = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;
};

template <typename Function>
bool FindSymbol(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

// Never closed: OpenSSL inside it does not survive that.
Result<CurlLibrary> LoadCurl() {
  void* library = ::dlopen(kCurlLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return Error(Code::kUnsupported, "talking to registries needs libcurl; install the package libcurl4 (" +
                                         std::string(why == nullptr ? "unknown reason" : why) + ")");
  }
  CurlLibrary curl;
  const bool all = FindSymbol(library, "curl_global_init", curl.global_init) &&
                   FindSymbol(library, "curl_easy_init", curl.easy_init) &&
                   FindSymbol(library, "curl_easy_reset", curl.easy_reset) &&
                   FindSymbol(library, "curl_easy_setopt", curl.easy_setopt) &&
                   FindSymbol(library, "curl_easy_getinfo", curl.easy_getinfo) &&
                   FindSymbol(library, "curl_easy_perform", curl.easy_perform) &&
                   FindSymbol(library, "curl_easy_cleanup", curl.easy_cleanup) &&
                   FindSymbol(library, "curl_easy_strerror", curl.easy_strerror) &&
                   FindSymbol(library, "curl_slist_append", curl.slist_append) &&
                   FindSymbol(library, "curl_slist_free_all", curl.slist_free_all);
  if (!all || curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return Error(Code::kUnsupported, std::string(kCurlLibrary) + " is of a version that is not known");
  return curl;
}

// One request under way; what libcurl's callbacks see.
struct Transfer {
  const CurlLibrary& curl;
  CURL* handle;
  const registry::ClientRequest& request;
  const registry::ClientHttp::Body& body;
  Milliseconds stall_timeout;
  Milliseconds answer_timeout;

  registry::ClientResponse head{};
  size_t header_bytes = 0;
  std::optional<Error> failure{};
  bool stalled = false;
  CurlClock::time_point window = CurlClock::now();
  uint64_t in_window = 0;
  uint64_t sent_bytes = 0;

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->Header(std::string_view(data, size * count)) ? size * count : 0;
  }
  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->Piece(std::string_view(data, size * count)) ? size * count : 0;
  }
  static size_t OnUpload(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->Give(data, size * count);
  }
  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->Watch() ? 0 : 1;
  }

  bool Fail(Code code, std::string message) {
    if (!failure) failure.emplace(code, std::move(message));
    return false;
  }

  bool Header(std::string_view line) {
    in_window += line.size();
    header_bytes += line.size();
    if (header_bytes > kMaxHeaderBytes)
      return Fail(Code::kRefused, request.url.Authority() + ": it sends headers without an end");
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
    if (line.starts_with("HTTP/")) {  // after 100 Continue, or a proxy's answer, another one begins
      head = {};
      return true;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    std::string name(line.substr(0, colon));
    for (char& c : name)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    line.remove_prefix(colon + 1);
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
    head.headers.emplace(std::move(name), std::string(line));
    return true;
  }

  bool Piece(std::string_view piece) {
    if (head.status == 0) {
      long status = 0;
      curl.easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
      head.status = static_cast<int>(status);
    }
    const auto begin = CurlClock::now();
    if (auto taken = body(head, piece); !taken) {
      if (!failure) failure = std::move(taken).error();
      return false;
    }
    // The reader's own time is not the server's.
    window += CurlClock::now() - begin;
    in_window += piece.size();
    return true;
  }

  size_t Give(char* buffer, size_t size) {
    const auto begin = CurlClock::now();
    const uint64_t left = request.upload->size_bytes - sent_bytes;
    if (left == 0) return 0;
    auto n = request.upload->read(buffer, std::min<uint64_t>(size, left));
    window += CurlClock::now() - begin;
    if (!n) {
      if (!failure) failure = std::move(n).error();
      return CURL_READFUNC_ABORT;
    }
    if (*n == 0) {
      Fail(Code::kInvalid,
           request.url.Authority() + ": what is sent there is shorter than it was said to be");
      return CURL_READFUNC_ABORT;
    }
    sent_bytes += *n;
    in_window += *n;
    return *n;
  }

  // How long nothing may happen.
  Milliseconds Patience() const {
    if (request.patience && (!request.upload || sent_bytes == request.upload->size_bytes))
      return *request.patience;
    if (!request.upload || request.upload->size_bytes == 0)
      return header_bytes == 0 ? std::min(answer_timeout, stall_timeout) : stall_timeout;
    return sent_bytes == request.upload->size_bytes ? 10 * stall_timeout : stall_timeout;
  }

  bool Watch() {
    if (request.cancelled != nullptr && request.cancelled->load())
      return Fail(Code::kCancelled, request.url.Authority() + ": not needed any more");
    const auto now = CurlClock::now();
    if (now - window < Patience()) return true;
    stalled = in_window < kStalledBytes;
    window = now;
    in_window = 0;
    return !stalled;
  }
};

Error ErrorOf(CURLcode code, const CurlLibrary& curl, const char* details, const std::string& host,
              Milliseconds patience, bool answered, const std::string& trust_advice) {
  const std::string why = details[0] != '\0' ? details : curl.easy_strerror(code);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Error(Code::kUnavailable, host + ": no such host is known (" + why +
                                           "); see that its name is right and that DNS answers");
    case CURLE_COULDNT_CONNECT:
      return Error(Code::kUnavailable, host + ": nobody accepts a connection (" + why +
                                           "); see that it runs there and that its port is right");
    case CURLE_OPERATION_TIMEDOUT:
      return Error(Code::kTimeout, host + ": it does not accept the connection in time (" + why + ")");
    case CURLE_ABORTED_BY_CALLBACK:
      return Error(Code::kTimeout, host +
                                       (answered ? ": the transfer has stalled for "
                                                 : ": it accepts connections and gives no answer for ") +
                                       std::to_string(patience.count() / 1000) + " s");
    case CURLE_SSL_CONNECT_ERROR:
      // A host that ends while it is being connected to says nothing about its certificate.
      if (why.find("SYSCALL") != std::string::npos || why.find("reset by peer") != std::string::npos ||
          why.find("unexpected eof") != std::string::npos)
        return Error(Code::kUnavailable, host + ": the connection broke (" + why + ")");
      [[fallthrough]];
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_USE_SSL_FAILED:
      return Error(Code::kRefused,
                   host + ": TLS failed (" + why + "); " +
                       (trust_advice.empty() ? "if it has an authority of its own, put its certificate into "
                                               "/etc/docker/certs.d/" +
                                                   host + "/ca.crt"
                                             : trust_advice));
    case CURLE_WRITE_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
      return Error(Code::kInvalid, host + ": " + why);
    default:
      return Error(Code::kUnavailable, host + ": the connection broke (" + why + ")");
  }
}

}  // namespace

struct CurlHttp::State {
  Options options;
  RegistryTrustSource trust;
  struct Shared {
    std::optional<CurlLibrary> library;
    std::vector<CURL*> idle;  // with their open connections
  };
  Sync<Shared> shared;

  explicit State(Options given) : options(std::move(given)), trust(options.trust) {}
  ~State() {
    auto held = shared.lock();
    for (CURL* handle : held->idle) held->library->easy_cleanup(handle);
  }

  Result<CURL*> Take(CurlLibrary& library) {
    auto held = shared.lock();
    if (!held->library) held->library = TRY(LoadCurl());
    library = *held->library;
    if (!held->idle.empty()) {
      CURL* handle = held->idle.back();
      held->idle.pop_back();
      return handle;
    }
    CURL* handle = library.easy_init();
    if (handle == nullptr) return Error(Code::kNoSpace, "Out of memory for a connection.");
    return handle;
  }

  void Give(CURL* handle) {
    auto held = shared.lock();
    held->library->easy_reset(handle);  // connections stay
    if (held->idle.size() < kMaxIdleHandles) {
      held->idle.push_back(handle);
    } else {
      held->library->easy_cleanup(handle);
    }
  }
};

CurlHttp::CurlHttp(Options options) : state_(new State(std::move(options))) {}
CurlHttp::~CurlHttp() = default;

Result<registry::ClientResponse> CurlHttp::Send(const registry::ClientRequest& request, const Body& body) {
  const std::string host = request.url.Authority();
  RegistryTrust trust;
  if (state_->options.only_trust) {
    trust = *state_->options.only_trust;
  } else if (request.url.scheme == "https") {
    trust = TRY(state_->trust.Find(host));
  }
  CurlLibrary curl;
  CURL* handle = TRY(state_->Take(curl));
  const Options& options = state_->options;
  Transfer transfer{curl, handle, request, body, options.stall_timeout, options.answer_timeout};
  char details[CURL_ERROR_SIZE] = "";
  const std::string url = request.url.Render();
  curl_slist* headers = nullptr;
  for (const auto& [name, value] : request.headers)
    headers = curl.slist_append(headers, (name + ": " + value).c_str());
  const auto set = [&](CURLoption option, auto value) { curl.easy_setopt(handle, option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_USERAGENT, options.user_agent.c_str());
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(details));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, request.url.scheme.c_str());
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_HTTP09_ALLOWED, 0L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, 30L);
  set(CURLOPT_TCP_KEEPINTVL, 10L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  if (request.timeout) set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout->count()));
  set(CURLOPT_BUFFERSIZE, 256L << 10);
  set(CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  // Plain HTTP to this host must not leave it by a proxy.
  if (request.url.IsLoopback()) set(CURLOPT_NOPROXY, "*");
  if (!request.form.empty()) {
    set(CURLOPT_POSTFIELDSIZE, static_cast<long>(request.form.size()));
    set(CURLOPT_POSTFIELDS, request.form.c_str());
  }
  if (request.upload) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.upload->size_bytes));
    set(CURLOPT_READFUNCTION, &Transfer::OnUpload);
    set(CURLOPT_READDATA, static_cast<void*>(&transfer));
    set(CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
    headers = curl.slist_append(headers, "Expect:");  // no waiting for leave
  }
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (!request.method.empty() && request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  set(CURLOPT_HTTPHEADER, headers);
  if (!trust.authorities.empty()) {
    struct curl_blob blob {
      trust.authorities.data(), trust.authorities.size(), CURL_BLOB_NOCOPY
    };
    set(CURLOPT_CAINFO_BLOB, &blob);
  }
  if (!trust.certificate.empty()) {
    set(CURLOPT_SSLCERT, trust.certificate.c_str());
    set(CURLOPT_SSLKEY, trust.key.c_str());
  }
  CURLcode code = CURLE_OK;
  const auto begin = CurlClock::now();
  {
    // OpenSSL writes to its sockets in a way that raises SIGPIPE when the other side has gone; libcurl leaves
    // that signal to us (CURLOPT_NOSIGNAL: it must not set handlers beside our threads).
    const PipeSignalHeld held;
    code = curl.easy_perform(handle);
  }
  long status = 0;
  curl.easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
  curl.slist_free_all(headers);
  transfer.head.status = static_cast<int>(status);
  state_->Give(handle);
  if (transfer.failure) return std::move(*transfer.failure);
  if (code == CURLE_OPERATION_TIMEDOUT && request.timeout &&
      CurlClock::now() - begin + kTimerSlack >= *request.timeout)
    return Error(Code::kTimeout,
                 host + ": it gave no whole answer within " + RenderDuration(*request.timeout));
  if (code != CURLE_OK)
    return ErrorOf(code, curl, details, host, transfer.Patience(), transfer.header_bytes > 0,
                   options.trust_advice);
  return std::move(transfer.head);
}

}  // namespace ingot::adapters
