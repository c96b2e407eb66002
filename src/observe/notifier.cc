#include "observe/notifier.h"

#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "base/sha256.h"
#include "definition/event_names.h"

namespace ingot::observe {
namespace {

// Events that nobody poked for: those of other processes.
constexpr Milliseconds kLookEvery{5'000};
constexpr size_t kEventsAtOnce = 200;

bool Wants(const Subscriber& subscriber, const audit::Event& event) {
  if (event.environment != subscriber.environment && !event.environment.empty()) return false;
  // What tells of its own failure would tell of it for ever.
  if (event.kind == "notify.failed") {
    const Json* id = event.detail.is_object() ? event.detail.get_object().if_contains("subscriber") : nullptr;
    if (id != nullptr && *id == Json(subscriber.id)) return false;
  }
  return std::any_of(subscriber.to.on.begin(), subscriber.to.on.end(),
                     [&](const std::string& asked) { return definition::IsAskedFor(asked, event.kind); });
}

std::string PlaceOf(const definition::ResolvedNotify& to) {
  return to.webhook.empty() ? to.command.front() : to.webhook;
}

}  // namespace

std::string PayloadOf(const audit::Event& event) {
  std::string text = (event.environment.empty() ? "host" : event.environment) + " " + event.kind;
  if (event.detail.is_object()) {
    const JsonObject& detail = event.detail.get_object();
    for (const char* key : {"rollout", "revision", "from", "to", "service", "instance", "image", "reason"}) {
      const Json* value = detail.if_contains(key);
      if (value == nullptr || value->is_null()) continue;
      text += std::string(" ") + key + "=" +
              (value->is_string() ? std::string(value->get_string()) : RenderJson(*value));
    }
  }
  return RenderJson(JsonObject{{"text", text}, {"event", audit::ToJson(event)}});
}

struct Notifier::Task {
  Subscriber subscriber;
  std::atomic<bool> ending{false};
  std::atomic<bool> done{false};
  uint64_t seen_pokes = 0;
  std::thread thread;
};

Notifier::Notifier(audit::Sink& events, Subscribers& subscribers, Courier& courier, Clock& clock,
                   Options options)
    : events_(events),
      subscribers_(subscribers),
      courier_(courier),
      clock_(clock),
      options_(std::move(options)) {}

Result<std::unique_ptr<Notifier>> Notifier::Start(audit::Sink& events, Subscribers& subscribers,
                                                  Courier& courier, Clock& clock, Options options) {
  std::vector<Subscriber> known = TRY(subscribers.List());
  std::unique_ptr<Notifier> notifier(new Notifier(events, subscribers, courier, clock, std::move(options)));
  auto state = notifier->state_.lock();
  for (Subscriber& subscriber : known) notifier->Begin(*state, std::move(subscriber));
  return notifier;
}

Notifier::~Notifier() {
  std::vector<std::unique_ptr<Task>> tasks;
  {
    auto state = state_.lock();
    state->stopping = true;
    for (auto& [key, task] : state->tasks) tasks.push_back(std::move(task));
    for (auto& task : state->ended) tasks.push_back(std::move(task));
  }
  changed_.notify_all();
  for (const auto& task : tasks) task->thread.join();
}

void Notifier::Begin(State& state, Subscriber subscriber) {
  auto task = std::make_unique<Task>();
  task->subscriber = std::move(subscriber);
  Task* raw = task.get();
  task->thread = std::thread([this, raw] {
    Run(*raw);
    raw->done = true;
  });
  state.tasks.emplace(std::pair(raw->subscriber.environment, raw->subscriber.id), std::move(task));
}

Result<void> Notifier::Subscribe(const std::string& environment,
                                 const std::vector<definition::ResolvedNotify>& all) {
  const uint64_t last = TRY(events_.Last());
  std::vector<Subscriber> wanted;
  {
    std::map<std::string, Subscriber> known;
    for (Subscriber& subscriber : TRY(subscribers_.List()))
      if (subscriber.environment == environment) known.emplace(subscriber.id, std::move(subscriber));
    std::set<std::string> ids;
    bool same = true;
    for (const definition::ResolvedNotify& to : all) {
      const std::string id = Sha256Hex(RenderCanonical(definition::ToJson(to)));
      if (!ids.insert(id).second) continue;
      const auto found = known.find(id);
      same = same && found != known.end();
      wanted.push_back(found != known.end() ? found->second : Subscriber{environment, id, to, last});
    }
    if (same && known.size() == wanted.size()) return {};
    TRY(subscribers_.Replace(environment, wanted));
    auto state = state_.lock();
    if (state->stopping) return {};
    for (auto it = state->tasks.begin(); it != state->tasks.end();) {
      if (it->first.first != environment || ids.contains(it->first.second)) {
        ++it;
        continue;
      }
      it->second->ending = true;
      state->ended.push_back(std::move(it->second));
      it = state->tasks.erase(it);
    }
    std::erase_if(state->ended, [](const std::unique_ptr<Task>& task) {
      if (!task->done) return false;
      task->thread.join();
      return true;
    });
    for (const Subscriber& subscriber : wanted)
      if (!state->tasks.contains({environment, subscriber.id})) Begin(*state, subscriber);
  }
  changed_.notify_all();
  return {};
}

void Notifier::Poke() {
  {
    auto state = state_.lock();
    if (state->tasks.empty()) return;
    ++state->pokes;
  }
  changed_.notify_all();
}

bool Notifier::Sleep(Task& task, Milliseconds time) {
  const SteadyTime until = clock_.Steady() + time;
  auto state = state_.lock();
  while (!state->stopping && !task.ending) {
    const auto left = until - clock_.Steady();
    if (left <= SteadyTime::duration::zero()) return true;
    state.WaitFor(changed_, left);
  }
  return false;
}

void Notifier::Run(Task& task) {
  ::prctl(PR_SET_NAME, "notify");
  while (true) {
    {
      auto state = state_.lock();
      if (state->stopping || task.ending) return;
      task.seen_pokes = state->pokes;
    }
    if (!Round(task)) return;
    auto state = state_.lock();
    const SteadyTime until = clock_.Steady() + kLookEvery;
    while (!state->stopping && !task.ending && state->pokes == task.seen_pokes) {
      const auto left = until - clock_.Steady();
      if (left <= SteadyTime::duration::zero()) break;
      state.WaitFor(changed_, left);
    }
  }
}

bool Notifier::Round(Task& task) {
  audit::EventQuery query;
  query.limit = kEventsAtOnce;
  while (true) {
    query.after = task.subscriber.delivered;
    const auto events = events_.Read(query);
    if (!events) {
      Log("cannot read events: " + events.error().Render());
      return true;
    }
    if (events->empty()) return true;
    for (const audit::Event& event : *events) {
      const bool wanted = Wants(task.subscriber, event);
      if (wanted && !DeliverOne(task, event)) return false;
      task.subscriber.delivered = event.sequence;
      // What nobody wants is passed over again after a crash: only deliveries are written down at once.
      if (wanted || &event == &events->back()) {
        if (auto set = subscribers_.SetDelivered(task.subscriber); !set)
          Log("cannot write down what was delivered, it will be again: " + set.error().Render());
      }
    }
    if (events->size() < kEventsAtOnce) return true;
  }
}

bool Notifier::DeliverOne(Task& task, const audit::Event& event) {
  const std::string payload = PayloadOf(event);
  const SteadyTime give_up = clock_.Steady() + options_.give_up_after;
  Milliseconds retry = options_.first_retry;
  bool told = false;
  while (true) {
    auto delivered = courier_.Deliver(task.subscriber, event, payload);
    if (delivered) return true;
    const std::string place = PlaceOf(task.subscriber.to);
    if (!std::exchange(told, true))
      Log("cannot tell " + place + " of " + event.kind + ", trying again: " + delivered.error().Render());
    if (clock_.Steady() + retry > give_up) {
      audit::Draft draft;
      draft.key = "notify/" + task.subscriber.id.substr(0, 16) + "/" + std::to_string(event.sequence);
      draft.environment = task.subscriber.environment;
      draft.kind = "notify.failed";
      draft.actor = "ingot";
      draft.detail = JsonObject{{"subscriber", task.subscriber.id},
                                {"place", place},
                                {"event", event.sequence},
                                {"reason", delivered.error().Render()}};
      if (auto recorded = events_.Append({std::move(draft)}); !recorded)
        Log("cannot record that " + place + " was not told: " + recorded.error().Render());
      return true;
    }
    if (!Sleep(task, retry)) return false;
    retry = std::min(retry * 2, options_.longest_retry);
  }
}

void Notifier::Log(const std::string& text) const {
  if (options_.log) options_.log("notify: " + text);
}

}  // namespace ingot::observe
