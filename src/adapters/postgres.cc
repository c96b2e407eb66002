#include "adapters/postgres.h"

#include <dlfcn.h>
#include <poll.h>
#include <postgresql/libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/pipe_signal.h"

namespace ingot::adapters {
namespace {

using PgClock = std::chrono::steady_clock;

constexpr char kPqLibrary[] = "libpq.so.5";
constexpr auto kConnectPatience = std::chrono::seconds(10);
// How long an answer to a cancellation is waited for; then the connection is given up.
constexpr auto kCancelPatience = std::chrono::seconds(10);
// Of our own statements, which have nothing to wait for.
constexpr auto kAnswerPatience = std::chrono::seconds(30);
constexpr int kTurnMs = 50;

// The functions that are used, by their names in the library.
#define INGOT_PQ_FUNCTIONS(X) \
  X(PQconnectStartParams)     \
  X(PQconnectPoll)            \
  X(PQstatus)                 \
  X(PQsocket)                 \
  X(PQfinish)                 \
  X(PQerrorMessage)           \
  X(PQsendQueryParams)        \
  X(PQsetSingleRowMode)       \
  X(PQflush)                  \
  X(PQconsumeInput)           \
  X(PQisBusy)                 \
  X(PQgetResult)              \
  X(PQresultStatus)           \
  X(PQresultErrorField)       \
  X(PQclear)                  \
  X(PQntuples)                \
  X(PQnfields)                \
  X(PQgetvalue)               \
  X(PQgetisnull)              \
  X(PQsetnonblocking)         \
  X(PQgetCancel)              \
  X(PQcancel)                 \
  X(PQfreeCancel)             \
  X(PQserverVersion)          \
  X(PQsetNoticeProcessor)

struct PqLibrary {
#define INGOT_PQ_MEMBER(name) decltype(&::name) name = nullptr;
  INGOT_PQ_FUNCTIONS(INGOT_PQ_MEMBER)
#undef INGOT_PQ_MEMBER
};

// Never closed: OpenSSL inside it does not survive that.
Result<PqLibrary> LoadPq() {
  void* library = ::dlopen(kPqLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = ::dlerror();
    return Error(Code::kUnsupported, "migrations of PostgreSQL need libpq; install the package libpq5 (" +
                                         std::string(why == nullptr ? "unknown reason" : why) + ")");
  }
  PqLibrary pq;
  bool all = true;
#define INGOT_PQ_FIND(function)                                                       \
  pq.function = reinterpret_cast<decltype(&::function)>(::dlsym(library, #function)); \
  all = all && pq.function != nullptr;
  INGOT_PQ_FUNCTIONS(INGOT_PQ_FIND)
#undef INGOT_PQ_FIND
  if (!all) return Error(Code::kUnsupported, std::string(kPqLibrary) + " is of a version that is not known");
  return pq;
}

Result<const PqLibrary*> Pq() {
  static const Result<PqLibrary> library = LoadPq();
  if (!library) return Error(library.error());
  return &*library;
}

std::string Trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Code CodeOfState(std::string_view state) {
  // Lock not available, deadlock, serialization: worth another try. Shutdown, crash, connection: gone.
  if (state == "55P03" || state == "40P01" || state == "40001") return Code::kConflict;
  if (state.starts_with("08") || state == "57P01" || state == "57P02" || state == "57P03")
    return Code::kUnavailable;
  if (state == "42501" || state.starts_with("28")) return Code::kPermission;
  if (state.starts_with("53")) return Code::kNoSpace;
  return Code::kFailed;
}

// The line of the n-th letter (from 1) of the UTF-8 text, which itself begins on `first`.
int LineOf(const std::string& text, int letter, int first) {
  for (const char c : text) {
    if ((c & 0xc0) != 0x80 && --letter <= 0) break;
    if (c == '\n') ++first;
  }
  return first;
}

}  // namespace

struct PostgresSession::Impl {
  const PqLibrary& pq;
  PGconn* connection = nullptr;
  std::function<bool()> cancelled;
  bool url_is_secret = false;

  ~Impl() {
    PipeSignalHeld quiet;
    pq.PQfinish(connection);
  }

  bool Cancelled() const { return cancelled && cancelled(); }

  void WaitFor(short events) const {
    pollfd waited{pq.PQsocket(connection), events, 0};
    ::poll(&waited, 1, kTurnMs);
  }

  Error Lost() const {
    return Error(Code::kUnavailable,
                 "the connection to the database was lost: " + Trimmed(pq.PQerrorMessage(connection)));
  }

  // Why there is no connection. Of a URL that cannot be parsed libpq quotes what it could not read, which may
  // be the password, or takes a part of that for a host; what follows "failed:" is the server's or the
  // system's.
  std::string NoConnection() const {
    const std::string why = Trimmed(pq.PQerrorMessage(connection));
    if (!url_is_secret) return why;
    constexpr std::string_view kFailed = " failed: ";
    if (const size_t at = why.rfind(kFailed);
        why.starts_with("connection to server") && at != std::string::npos)
      return why.substr(at + kFailed.size());
    return "see that the secret is a postgres:// URL in which what is special in the password is "
           "percent-encoded (@ "
           "is %40, / is %2F, % is %25), and that its host is right";
  }

  Result<void> Connect() {
    const auto deadline = PgClock::now() + kConnectPatience;
    const auto cannot = [&](const std::string& why) {
      return Error(Code::kUnavailable, "the database cannot be reached: " + why);
    };
    if (pq.PQstatus(connection) == CONNECTION_BAD) return cannot(NoConnection());
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (true) {
      if (PgClock::now() > deadline) return cannot("it does not answer within 10 s");
      if (Cancelled()) return Error(Code::kCancelled, "ended, as was asked for");
      WaitFor(status == PGRES_POLLING_READING ? POLLIN : POLLOUT);
      status = pq.PQconnectPoll(connection);
      if (status == PGRES_POLLING_OK) break;
      if (status == PGRES_POLLING_FAILED) return cannot(NoConnection());
    }
    pq.PQsetNoticeProcessor(
        connection, [](void*, const char*) {}, nullptr);
    if (pq.PQsetnonblocking(connection, 1) != 0) return Lost();
    return {};
  }

  // Waits until a result can be taken.
  Result<void> Await(std::optional<PgClock::time_point> deadline) {
    std::optional<PgClock::time_point> give_up;
    while (true) {
      if (deadline && PgClock::now() > *deadline)
        return Error(Code::kUnavailable, "the database does not answer within 30 s");
      const int unsent = pq.PQflush(connection);
      if (unsent < 0) return Lost();
      if (unsent == 0 && pq.PQisBusy(connection) == 0) return {};
      if (!give_up && Cancelled()) {
        give_up = PgClock::now() + kCancelPatience;
        SendCancel();
      }
      if (give_up && PgClock::now() > *give_up)
        return Error(Code::kCancelled, "the statement was told to end, and did not answer");
      WaitFor(static_cast<short>(POLLIN | (unsent > 0 ? POLLOUT : 0)));
      if (pq.PQconsumeInput(connection) == 0) return Lost();
    }
  }

  void SendCancel() const {
    PGcancel* cancel = pq.PQgetCancel(connection);
    if (cancel == nullptr) return;
    // It connects and waits without a limit, so nobody waits for it. What it cannot send is met as the
    // patience that ends.
    std::thread([&library = pq, cancel] {
      PipeSignalHeld quiet;
      char why[256];
      static_cast<void>(library.PQcancel(cancel, why, sizeof why));
      library.PQfreeCancel(cancel);
    }).detach();
  }

  Error ErrorOf(const PGresult* result, const std::string& sql, int line) const {
    const auto field = [&](int code) {
      const char* text = pq.PQresultErrorField(result, code);
      return std::string(text == nullptr ? "" : text);
    };
    const std::string state = field(PG_DIAG_SQLSTATE);
    if (state.empty()) return Lost();
    std::string message = field(PG_DIAG_SEVERITY) + " " + state + ": " + field(PG_DIAG_MESSAGE_PRIMARY);
    if (const std::string detail = field(PG_DIAG_MESSAGE_DETAIL); !detail.empty())
      message += " (" + detail + ")";
    if (const std::string hint = field(PG_DIAG_MESSAGE_HINT); !hint.empty()) message += ". " + hint;
    if (const std::string position = field(PG_DIAG_STATEMENT_POSITION); line > 0 && !position.empty())
      message = "line " + std::to_string(LineOf(sql, std::atoi(position.c_str()), line)) + ": " + message;
    const bool ours = state == "57014" && Cancelled();
    return Error(ours ? Code::kCancelled : CodeOfState(state), Trimmed(message));
  }

  Result<std::vector<Row>> Run(const std::string& sql, const std::vector<std::string>& parameters, int line,
                               bool keep_rows) {
    PipeSignalHeld quiet;
    std::vector<const char*> values;
    for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
    if (pq.PQsendQueryParams(connection, sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                             nullptr, nullptr, 0) == 0)
      return Lost();
    // Rows that nobody wants are dropped one by one.
    if (!keep_rows) pq.PQsetSingleRowMode(connection);
    std::vector<Row> rows;
    std::optional<Error> failure;
    std::optional<PgClock::time_point> deadline;
    if (keep_rows) deadline = PgClock::now() + kAnswerPatience;
    while (true) {
      TRY(Await(deadline));
      PGresult* result = pq.PQgetResult(connection);
      if (result == nullptr) break;
      const ExecStatusType status = pq.PQresultStatus(result);
      if (status == PGRES_TUPLES_OK && keep_rows) {
        AddRows(result, rows);
      } else if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        if (!failure) failure = ErrorOf(result, sql, line);
      } else if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        pq.PQclear(result);
        return Error(Code::kFailed, "COPY has no place here");
      }
      pq.PQclear(result);
    }
    if (failure) return std::move(*failure);
    if (pq.PQstatus(connection) == CONNECTION_BAD) return Lost();
    return rows;
  }

  void AddRows(const PGresult* result, std::vector<Row>& rows) const {
    for (int i = 0; i < pq.PQntuples(result); ++i) {
      Row row;
      for (int j = 0; j < pq.PQnfields(result); ++j)
        row.push_back(pq.PQgetisnull(result, i, j) != 0
                          ? std::nullopt
                          : std::optional<std::string>(pq.PQgetvalue(result, i, j)));
      rows.push_back(std::move(row));
    }
  }
};

PostgresSession::PostgresSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresSession::~PostgresSession() = default;

Result<std::unique_ptr<PostgresSession>> PostgresSession::Open(const PostgresOptions& options) {
  const PqLibrary& pq = *TRY(Pq());
  PipeSignalHeld quiet;
  // dbname first: what follows it holds against what the URL says. A peer that vanished is noticed in half a
  // minute.
  std::vector<const char*> keys{"dbname",          "application_name",    "client_encoding",
                                "keepalives_idle", "keepalives_interval", "keepalives_count",
                                "tcp_user_timeout"};
  std::vector<const char*> values{
      options.url.c_str(), options.application.c_str(), "UTF8", "10", "5", "3", "30000"};
  if (!options.password.empty()) {
    keys.push_back("password");
    values.push_back(options.password.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  PGconn* connection = pq.PQconnectStartParams(keys.data(), values.data(), 1);
  if (connection == nullptr) return Error(Code::kNoSpace, "no memory for a connection to the database");
  std::unique_ptr<Impl> impl(new Impl{pq, connection, options.cancelled, options.url_is_secret});
  TRY(impl->Connect());
  return std::unique_ptr<PostgresSession>(new PostgresSession(std::move(impl)));
}

Result<std::vector<PostgresSession::Row>> PostgresSession::Query(const std::string& sql,
                                                                 const std::vector<std::string>& parameters) {
  return impl_->Run(sql, parameters, 0, true);
}

Result<void> PostgresSession::Execute(const std::string& sql, int line) {
  TRY(impl_->Run(sql, {}, line, false));
  return {};
}

bool PostgresSession::Alive() {
  PipeSignalHeld quiet;
  return impl_->pq.PQconsumeInput(impl_->connection) == 1 &&
         impl_->pq.PQstatus(impl_->connection) == CONNECTION_OK;
}

int PostgresSession::server_version() const {
  return impl_->pq.PQserverVersion(impl_->connection);
}

std::string PostgresSession::Quoted(const std::string& identifier) const {
  std::string out = "\"";
  for (const char c : identifier) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace ingot::adapters
