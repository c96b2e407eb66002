#include "adapters/haproxy_state.h"

#include <gtest/gtest.h>

#include "adapters/haproxy_config.h"
#include "platform/router_contract.h"

namespace ingot::adapters {
namespace {

using platform::EnvironmentId;
using platform::FleetId;
using platform::Protocol;
using platform::RouteTable;
using platform::Topology;

constexpr uint16_t kWebPort = 8080;

TEST(HaproxyState, RoutesByHostNameAreEntriesOfTheMap) {
  RouterState empty;
  empty.http = {":80"};
  empty.https = {":443"};
  const EnvironmentId shop("shop", "local");
  const FleetId web(shop, "web", "000000000001");
  Topology topology;
  topology.services = {{"web", {{"http", kWebPort, Protocol::kHttp}}, 1}};
  topology.hosts = {{"shop.example", "/", "web", true}, {"*.shop.example", "/api", "web", false}};
  auto state = WithTopology(empty, shop, topology);
  ROUTER_OK(state);
  EXPECT_TRUE(state->numbers.contains("out|:80"));
  EXPECT_TRUE(state->numbers.contains("out|:443"));
  // Declared, and nothing serves yet.
  EXPECT_EQ(RenderMap(*state),
            "http|shop.example/ redirect\nhttps|shop.example/ none\nhttp|*.shop.example/api/ none\n");
  RouteTable table;
  table.outside = {{"", web, kWebPort, Protocol::kHttp, {}, "shop.example", "/", true},
                   {"", web, kWebPort, Protocol::kHttp, {}, "*.shop.example", "/api", false}};
  ROUTER_OK(ReserveSets(*state, shop, table));
  auto entries = RouteEntries(*state, shop, table, {});
  ROUTER_OK(entries);
  state->environments[shop].entries = *entries;
  EXPECT_EQ(RenderMap(*state),
            "https|shop.example/ shop.local.web.8080.1::0\n"
            "http|*.shop.example/api/ shop.local.web.8080.1::0\nhttp|shop.example/ redirect\n");
  auto again = RouterStateFromJson(*ParseJson(RenderJson(ToJson(*state))));
  ROUTER_OK(again);
  again->http = state->http;
  again->https = state->https;
  EXPECT_EQ(*again, *state);
  // A route that goes takes its entries along; the others stay as they were.
  topology.hosts.pop_back();
  state = WithTopology(*state, shop, topology);
  ROUTER_OK(state);
  EXPECT_EQ(RenderMap(*state), "https|shop.example/ shop.local.web.8080.1::0\nhttp|shop.example/ redirect\n");
  topology.hosts[0].tls = false;
  EXPECT_FALSE(WithTopology(*state, shop, topology)->numbers.contains("out|:443"));
}

TEST(HaproxyState, WhatCannotBeTwosIsRefused) {
  RouterState state;
  state.http = {":80"};
  state.https = {":443"};
  Topology topology;
  topology.services = {{"web", {{"http", kWebPort, Protocol::kHttp}}, 1}};
  topology.hosts = {{"shop.example", "/api", "web", false}};
  auto shop = WithTopology(state, EnvironmentId("shop", "local"), topology);
  ROUTER_OK(shop);
  Topology other = topology;
  other.hosts[0].path = "/api/";
  EXPECT_EQ(WithTopology(*shop, EnvironmentId("blog", "local"), other).error().code(), Code::kConflict);
  other.hosts.clear();
  other.listeners = {{"127.0.0.1:80", "web", Protocol::kHttp, false}};
  EXPECT_EQ(WithTopology(*shop, EnvironmentId("blog", "local"), other).error().code(), Code::kConflict);
  other.listeners[0].listen = ":443";
  EXPECT_TRUE(WithTopology(*shop, EnvironmentId("blog", "local"), other));
  for (const char* bad : {"a b", "", "shop.example\nserver x", "a/b", "*.", "*.*.example"}) {
    topology.hosts[0].host = bad;
    EXPECT_EQ(WithTopology(state, EnvironmentId("shop", "local"), topology).error().code(), Code::kInvalid)
        << bad;
  }
  topology.hosts[0].host = "shop.example";
  for (const char* bad : {"", "api", "/a b", "/a\nb", "/\"", "/\\"}) {
    topology.hosts[0].path = bad;
    EXPECT_EQ(WithTopology(state, EnvironmentId("shop", "local"), topology).error().code(), Code::kInvalid)
        << bad;
  }
}

}  // namespace
}  // namespace ingot::adapters
