// Notifier: tells those of what happened who asked for it (docs/formats/events.md, "Who is told").
//
// Each subscriber has a thread that reads the audit record from where it stopped, delivers one event after
// the other and writes down how far it came: at least once, in order, also across a restart. One that does
// not answer delays only itself.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "audit/sink.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/sync.h"
#include "definition/resolved.h"

namespace ingot::observe {

struct Subscriber {
  std::string environment;  // "shop/local"
  std::string id;           // of `to`: SHA-256 of its document
  definition::ResolvedNotify to;
  uint64_t delivered = 0;  // every event up to this sequence is done with
};

// Where subscribers are remembered. Any thread; durable when it returns.
class Subscribers {
 public:
  virtual ~Subscribers() = default;
  virtual Result<std::vector<Subscriber>> List() = 0;
  // Replaces those of an environment.
  virtual Result<void> Replace(const std::string& environment, const std::vector<Subscriber>& all) = 0;
  // Nothing when it is gone.
  virtual Result<void> SetDelivered(const Subscriber& subscriber) = 0;
};

// How an event gets to its subscriber. Any thread.
class Courier {
 public:
  virtual ~Courier() = default;
  // One attempt, which takes at most some ten seconds. `payload` is what PayloadOf gives. An Error: to be
  // tried again.
  virtual Result<void> Deliver(const Subscriber& to, const audit::Event& event,
                               const std::string& payload) = 0;
};

// What is sent: {"text":"shop/local rollout.reverted: …","event":{…}}. `text` is for people; chats show it.
std::string PayloadOf(const audit::Event& event);

class Notifier {
 public:
  struct Options {
    Milliseconds first_retry{1000};  // doubled up to
    Milliseconds longest_retry{300'000};
    // Then it is given up, which is an event itself (notify.failed).
    Milliseconds give_up_after{24 * 3600 * 1000};
    std::function<void(const std::string&)> log = {};
  };
  // All of them must outlive it. Goes on with the subscribers that are remembered.
  static Result<std::unique_ptr<Notifier>> Start(audit::Sink& events, Subscribers& subscribers,
                                                 Courier& courier, Clock& clock, Options options);
  // Ends attempts that wait; one that is being made is waited for.
  ~Notifier();

  // From now on these are told what happens in the environment; those that were told before and are still
  // asked for go on where they are.
  Result<void> Subscribe(const std::string& environment, const std::vector<definition::ResolvedNotify>& all);
  // Something may have happened. Any thread.
  void Poke();

 private:
  struct Task;  // one subscriber and its thread
  struct State {
    uint64_t pokes = 0;
    bool stopping = false;
    std::map<std::pair<std::string, std::string>, std::unique_ptr<Task>> tasks;  // by environment and id
    std::vector<std::unique_ptr<Task>> ended;  // whose last attempt is not waited for yet
  };
  Notifier(audit::Sink& events, Subscribers& subscribers, Courier& courier, Clock& clock, Options options);
  void Begin(State& state, Subscriber subscriber);
  void Run(Task& task);
  // Everything that there is; false when the task is to end.
  bool Round(Task& task);
  bool DeliverOne(Task& task, const audit::Event& event);
  // False: the task is to end.
  bool Sleep(Task& task, Milliseconds time);
  void Log(const std::string& text) const;

  audit::Sink& events_;
  Subscribers& subscribers_;
  Courier& courier_;
  Clock& clock_;
  const Options options_;
  Sync<State> state_;
  std::condition_variable changed_;
};

}  // namespace ingot::observe
