#include "plan/claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::plan {
namespace {

using platform::Topology;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Topology Hosts(std::vector<Topology::Host> hosts) {
  Topology topology;
  topology.hosts = std::move(hosts);
  return topology;
}

Topology Listeners(std::vector<std::string> listeners) {
  Topology topology;
  for (std::string& listen : listeners)
    topology.listeners.push_back({std::move(listen), "web", platform::Protocol::kHttp, false});
  return topology;
}

const HostEdge kEdge{{":80"}, {":443"}, std::vector<std::string>{"shop.example", "*.shop.example"}};

TEST(Claims, AHostNameAndPathBelongsToOne) {
  Claims others;
  others.Add(Hosts({{"shop.example", "/api", "api", true}}), "shop/local");
  EXPECT_THAT(ConflictsOf(Hosts({{"shop.example", "/", "web", true}}), kEdge, others), IsEmpty());
  // Also without TLS, and however the path ends.
  EXPECT_THAT(ConflictsOf(Hosts({{"shop.example", "/api/", "web", false}}), kEdge, others),
              ElementsAre(Conflict{"shop.example/api/", "shop/local", true}));
  EXPECT_EQ(RefusalOf({"shop.example/api", "shop/local", true}).code(), Code::kConflict);
}

TEST(Claims, ListenersThatOverlapBelongToOne) {
  Claims others;
  others.Add(Listeners({"127.0.0.1:8000"}), "blog/local");
  EXPECT_THAT(ConflictsOf(Listeners({":8000"}), kEdge, others),
              ElementsAre(Conflict{":8000", "blog/local", false}));
  EXPECT_THAT(ConflictsOf(Listeners({"127.0.0.2:8000", ":8001"}), kEdge, others), IsEmpty());
}

TEST(Claims, TheHostsOwnListenersAreTakenWhileSomebodyNeedsThem) {
  const Claims nobody;
  EXPECT_THAT(ConflictsOf(Listeners({":80", ":443"}), kEdge, nobody), IsEmpty());
  Claims plain;
  plain.Add(Hosts({{"a.example", "/", "web", false}}), "blog/local");
  EXPECT_THAT(
      ConflictsOf(Listeners({":80", ":443"}), kEdge, plain),
      ElementsAre(Conflict{":80", "the routes by host name of blog/local (router in host.yaml)", false}));
  Claims tls;
  tls.Add(Hosts({{"a.example", "/", "web", true}}), "blog/local");
  EXPECT_EQ(ConflictsOf(Listeners({":80", ":443"}), kEdge, tls).size(), 2u);
  Claims listening;
  listening.Add(Listeners({":443"}), "old/local");
  EXPECT_THAT(ConflictsOf(Hosts({{"a.example", "/", "web", true}}), kEdge, listening),
              ElementsAre(Conflict{":443", "old/local", false}));
  EXPECT_THAT(ConflictsOf(Hosts({{"a.example", "/", "web", false}}), kEdge, listening), IsEmpty());
  Topology both = Listeners({"127.0.0.1:80"});
  both.hosts = {{"a.example", "/", "web", false}};
  EXPECT_EQ(ConflictsOf(both, kEdge, nobody).size(), 1u);
}

TEST(Claims, TlsNeedsACertificateForTheName) {
  EXPECT_THAT(
      Unreachable(Hosts({{"shop.example", "/", "web", true}, {"a.shop.example", "/", "web", true}}), kEdge),
      IsEmpty());
  EXPECT_THAT(Unreachable(Hosts({{"a.b.shop.example", "/", "web", true}}), kEdge),
              ElementsAre(HasSubstr("no certificate of this host is for a.b.shop.example")));
  EXPECT_THAT(Unreachable(Hosts({{"other.example", "/", "web", false}}), kEdge), IsEmpty());
  // A wildcard's route is covered by a wildcard's certificate.
  EXPECT_THAT(Unreachable(Hosts({{"*.shop.example", "/", "web", true}}), kEdge), IsEmpty());
  EXPECT_THAT(Unreachable(Hosts({{"shop.example", "/", "web", true}}), {{":80"}, {}, {}}),
              ElementsAre(HasSubstr("router.https of host.yaml has none")));
  HostEdge issued = kEdge;
  issued.acme = std::vector<std::string>{"*.example"};
  EXPECT_THAT(Unreachable(Hosts({{"a.b.shop.example", "/", "web", true}}), issued), IsEmpty());
  EXPECT_THAT(Unreachable(Hosts({{"a.test", "/", "web", true}}), issued),
              ElementsAre(HasSubstr("router.acme.domains does not let an authority issue it")));
  EXPECT_THAT(Unreachable(Hosts({{"*.b.example", "/", "web", true}}), issued),
              ElementsAre(HasSubstr("by http-01 an authority issues none for a wildcard")));
  issued.acme->clear();
  EXPECT_THAT(Unreachable(Hosts({{"a.test", "/", "web", true}}), issued), IsEmpty());
  Topology own = Listeners({":8443"});
  own.listeners[0].tls = true;
  EXPECT_THAT(Unreachable(own, kEdge), IsEmpty());
  EXPECT_THAT(Unreachable(own, {{}, {}, std::vector<std::string>{}}),
              ElementsAre(HasSubstr("this host has no certificate")));
}

TEST(Claims, IPv6IsNeededWhereAListenerIsOfIt) {
  EXPECT_THAT(Unreachable(Listeners({"[::1]:8000"}), kEdge), IsEmpty());
  HostEdge without = kEdge;
  without.no_ipv6 = "it is off";
  EXPECT_THAT(Unreachable(Listeners({":8000", "[::1]:8000"}), without),
              ElementsAre(HasSubstr("route [::1]:8000 is of IPv6, and this host has none (it is off)")));
  without.http = {":80", "[::]:80"};
  EXPECT_THAT(Unreachable(Hosts({{"other.example", "/", "web", false}}), without),
              ElementsAre(HasSubstr("the listener [::]:80 of router in host.yaml")));
}

TEST(Claims, ListenersOfIPv4AndIPv6DoNotMeet) {
  Claims others;
  others.Add(Listeners({":8000", "[::1]:9000"}), "blog/local");
  EXPECT_THAT(ConflictsOf(Listeners({"[::]:8000", ":9000"}), kEdge, others), IsEmpty());
  EXPECT_EQ(ConflictsOf(Listeners({"[::]:9000"}), kEdge, others).size(), 1u);
}

}  // namespace
}  // namespace ingot::plan
