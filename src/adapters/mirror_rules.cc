#include "adapters/mirror_rules.h"

#include "adapters/haproxy_config.h"

namespace ingot::adapters {

std::string MirrorChoice(const platform::Topology::Shadow& shadow, const std::string& when) {
  if (shadow.methods.empty()) return "";
  std::string methods;
  for (const std::string& method : shadow.methods) methods += " " + method;
  const std::string set = "  http-request set-var(txn.";
  return set + "sp) var(txn.r),field(6,:),add(0) if " + when + "{ method" + methods +
         " } !{ req.hdr(upgrade) -m found }\n" +
         (shadow.bodies ? set + "sw) int(1) if " + when + "{ var(txn.sp) -m int gt 0 }\n" : "");
}

// Of the requests that stay with what serves, by chance. The answer's headers wait for its body where that is
// small by its Content-Length: as long as the server does anyway, since `time` never comes first.
std::string MirrorRules(bool outside) {
  const std::string limit = " -m int le " + std::to_string(kMirrorBodyBytes) + " }";
  const std::string small_request = " if copied { req.hdr(content-length)" + limit + "\n";
  const std::string small_answer =
      " if copied { var(txn.sw) -m found } { res.hdr(content-length)" + limit + "\n";
  return "  log unix@/proc/self/fd/" + std::to_string(kDirectoryNumber) + "/" + kMirrorSocket +
         " len 65535 format raw local0\n"
         "  log-format \"1|%[var(txn.r)]|%ST|%ts|%Tr|%[var(txn.sm)]|%[var(txn.su)]|%[var(txn.sh)]|"
         "%[var(txn.sb)]|%[var(txn.sx)]|%[var(txn.sc)]|%[var(txn.sl)]|%[var(txn.sd)]\"\n"
         "  http-request set-log-level silent\n"
         "  http-request set-var(txn.sn) rand(1000),sub(txn.sp) if { var(txn.sp) -m int gt 0 } "
         "{ var(txn.r),field(1,:),strcmp(txn.b) eq 0 }\n"
         "  acl copied var(txn.sn) -m int lt 0\n"
         "  http-request set-log-level info if copied\n"
         "  http-request set-var(txn.sm) method if copied\n"
         "  http-request set-var(txn.su) pathq,base64 if copied\n"
         "  http-request set-var(txn.sh) req.hdrs,base64 if copied\n" +
         // Nobody outside can pass off a request of his own as a copy.
         (outside ? "  http-request set-var(txn.sx) src if copied\n"
                    "  http-request del-header X-Ingot-Shadow\n"
                  : "") +
         "  http-request wait-for-body time 20d" + small_request +
         "  http-request set-var(txn.sb) req.body,base64" + small_request +
         "  http-response set-var(txn.sc) res.hdr(content-length) if copied\n"
         "  http-response wait-for-body time 20d" +
         small_answer + "  http-response set-var(txn.sl) res.body_len" + small_answer +
         "  http-response set-var(txn.sd) res.body,sha2(256),hex" + small_answer;
}

}  // namespace ingot::adapters
