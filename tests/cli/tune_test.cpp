// --tune: tiles chosen by measurement never change a bit, are kept for this machine, and a damaged file is not used.
#include <catch2/catch.hpp>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "tests/support/process.h"

using namespace gradc::test;
using nlohmann::json;

namespace {

ProcessResult ok(const ProcessResult& r) {
  INFO(r.err << r.out);
  CHECK(r.code == 0);
  return r;
}

std::string digest(const Workplace& place, const std::string& threads, const std::vector<std::string>& more = {}) {
  std::vector<std::string> command{"bench", source("examples/digits.grad"), "--steps", "3", "--seconds", "0", "--threads", threads, "--json"};
  command.insert(command.end(), more.begin(), more.end());
  return json::parse(ok(place.gradc(command)).out)["digest"];
}

std::string tiles_file(const Workplace& place) {
  for (const auto& entry : std::filesystem::directory_iterator(place.path("cache"))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("tiles-")) return "cache/" + name;
  }
  return {};
}

}  // namespace

TEST_CASE("tuned or not, now or later, on any number of threads: the same bits") {
  Workplace place;
  const std::string untuned = digest(place, "1");
  CHECK(digest(place, "1", {"--tune", "--no-cache"}) == untuned);
  CHECK(tiles_file(place).empty());
  CHECK(digest(place, "1", {"--tune"}) == untuned);
  const std::string file = tiles_file(place);
  REQUIRE(!file.empty());
  const json kept = json::parse(place.read(file));
  CHECK(kept["threads"] == 1);
  CHECK(kept["tiles"].is_object());
  CHECK(digest(place, "1") == untuned);               // with what was kept
  CHECK(digest(place, "1", {"--no-cache"}) == untuned);
  CHECK(digest(place, "2", {"--tune"}) == untuned);   // kept in a file of its own
  CHECK(json::parse(place.read(file)) == kept);
}

TEST_CASE("what tuning kept is not trusted: damage is named, other tiles than those allowed are not used") {
  Workplace place;
  const std::string untuned = digest(place, "1", {"--tune"}), file = tiles_file(place);
  REQUIRE(!file.empty());
  const std::vector<std::string> command{"bench", source("examples/digits.grad"), "--steps", "3", "--seconds", "0", "--threads", "1", "--json"};
  for (const char* damaged : {"", "nonsense", "[]", "{\"tiles\": 3}", R"({"tiles": {"k": {"mr": "high"}}})", R"({"tiles": {"k": 1}})"}) {
    INFO(damaged);
    place.write(file, damaged);
    const ProcessResult r = ok(place.gradc(command));
    CHECK(r.err.find("warning: what gradc --tune kept here is damaged and not used") != std::string::npos);
    CHECK(json::parse(r.out)["digest"] == untuned);
  }
  // Tiles of one row and one column for every kernel of the step, by the keys that the tool itself would look up.
  place.write(file, R"({"version": 1, "tiles": {}})");
  ok(place.gradc({"bench", source("examples/digits.grad"), "--steps", "3", "--seconds", "0", "--threads", "1", "--json", "--tune"}));
  json forged = json::parse(place.read(file));
  for (int64_t wrong : {int64_t{1}, int64_t{-7}, int64_t{1} << 62}) {
    for (auto& [key, tiles] : forged["tiles"].items()) tiles = {{"mr", 1}, {"nr", 1}, {"block_m", wrong}, {"block_n", wrong}};
    place.write(file, forged.dump());
    const ProcessResult r = ok(place.gradc(command));
    CHECK(r.err.empty());
    CHECK(json::parse(r.out)["digest"] == untuned);
  }
}
