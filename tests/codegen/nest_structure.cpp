#include <sstream>

#include "tests/support/nest_program.h"

// What the instructions look like: where they stand and what they lead back to.

using namespace gradc;

namespace {

const char* columns = R"(
buffer b0 input "x" f32[64, 32]
buffer b1 input "scale" f32[32]
buffer b2 input "rate" f32[]
buffer b3 output "y" f32[64, 32]
buffer b4 output "partial" f32[4, 32]
body 0 "columns" nest (s0: f32, s1: f32, s2: f32, s3: out f32, s4: out f32)
  dim i0 = 64
  dim i1 = 32
  vector i1
  parallel for i0 step 16
    for i1 vector
      section
        for i0
          v0: f32 = load s0[32*i0 + i1]
          v1: f32 = load s1[i1]
          v2: f32 = sqrt v1
          v3: f32 = load s2[0]
          v4: f32 = floor v3
          v5: f32 = fma v0 v2 v4
          store f32 s3[32*i0 + i1] = v5
          v6: f32 = reduce sum v5
      section
        store f32 s4[i1; 32*block] = v6
call "k" body 0 (b0, b1, b2, b3, b4)
)";

struct Instruction {
  std::string text, block;
};

// The instructions of the only function, with the label of their block and, appended, the line of their location.
std::vector<Instruction> instructions(const KernelProgram& p) {
  std::istringstream lines(llvm_text(p));
  std::string line, block = "entry";
  std::map<std::string, std::string> location;
  std::vector<Instruction> out;
  bool inside = false;
  while (std::getline(lines, line)) {
    if (line.rfind("define", 0) == 0) inside = true;
    if (line.rfind("}", 0) == 0) inside = false;
    if (size_t at = line.find("= !DILocation(line: "); at != std::string::npos) location[line.substr(0, line.find(' '))] = line.substr(at + 20, line.find(',', at) - at - 20);
    if (!inside || line.empty()) continue;
    if (line[0] != ' ') block = line.substr(0, line.find(':'));
    else out.push_back({line, block});
  }
  for (Instruction& i : out) {
    size_t at = i.text.find("!dbg ");
    if (at != std::string::npos) i.text += " line=" + location[i.text.substr(at + 5, i.text.find_first_of(", ", at + 5) - at - 5)];
  }
  return out;
}

std::string block_of(const std::vector<Instruction>& all, const std::string& what) {
  std::string found;
  for (const Instruction& i : all) {
    if (i.text.find(what) == std::string::npos) continue;
    INFO(what << " in " << found << " and in " << i.block);
    REQUIRE((found.empty() || found == i.block));
    found = i.block;
  }
  INFO(what);
  REQUIRE(!found.empty());
  return found;
}

}  // namespace

TEST_CASE("statements stand at the outermost loop where what they need is known") {
  std::vector<Instruction> all = instructions(test::parse_program(columns));
  CHECK(block_of(all, "@llvm.floor.f32") == "entry");           // needs no index
  std::string columns_loop = block_of(all, "@llvm.sqrt.v");     // needs the column
  std::string rows_loop = block_of(all, "@llvm.fma.v");         // needs both
  CHECK(columns_loop != "entry");
  CHECK(columns_loop != rows_loop);
  int in_loop = 0;
  for (const Instruction& i : all) in_loop += i.block == rows_loop;
  // Index, multiple, sum; load, fma, store, addition; their two addresses and three increments and branch: nothing else.
  CHECK(in_loop <= 14);
}

TEST_CASE("instructions lead back to their statements") {
  std::vector<Instruction> all = instructions(test::parse_program(columns));
  int without = 0;
  for (const Instruction& i : all) {
    INFO(i.text);
    if (i.text.find("switch") == std::string::npos && i.text.find(" line=") == std::string::npos) ++without;
    if (i.text.find("@llvm.floor") != std::string::npos) CHECK(i.text.find("line=5") != std::string::npos);
    if (i.text.find("@llvm.sqrt") != std::string::npos) CHECK(i.text.find("line=3") != std::string::npos);
    if (i.text.find("@llvm.fma") != std::string::npos) CHECK(i.text.find("line=6") != std::string::npos);
  }
  CHECK(without == 0);
}

TEST_CASE("no instruction carries a fast-math flag") {
  for (const Instruction& i : instructions(test::parse_program(columns))) {
    INFO(i.text);
    for (const char* flag : {" fast ", " reassoc ", " nnan ", " ninf ", " nsz ", " contract ", " afn ", " arcp "}) CHECK(i.text.find(flag) == std::string::npos);
  }
}

TEST_CASE("equal bodies give equal code, whatever their name") {
  KernelProgram a = test::parse_program(columns), b = a;
  b.bodies[0].name = "other";
  auto text = [](const KernelProgram& p) {
    std::string all;
    for (const Instruction& i : instructions(p)) all += i.text + "\n";
    return all;
  };
  CHECK(text(a) == text(b));
}

namespace {

// The sum of 256 columns of 64 rows, and something done with it: the update of a bias.
std::string column_update(const std::string& update) {
  return R"(
buffer b0 input "dz" f32[64, 256]
buffer b1 input "b" f32[256]
buffer b2 output "next" f32[256]
body 0 "update" nest (s0: f32, s1: f32, s2: out f32)
  dim i0 = 256
  dim i1 = 64
  vector i0
  parallel for i0 step 128
    for i0 vector
      section
        for i1
          v0: f32 = load s0[i0 + 256*i1]
          v1: f32 = reduce sum v0
      section
)" + update + R"(
        store f32 s2[i0] = v9
call "k" body 0 (b0, b1, b2)
)";
}

// Lanes of the sums that a step down the columns adds to.
size_t lanes_summed(const std::string& update) {
  KernelProgram program = test::parse_program(column_update(update));
  size_t lanes = 0;
  for (const Instruction& i : instructions(program)) {
    if (i.text.find("= phi <") == std::string::npos || i.text.find("x float>") == std::string::npos) continue;
    lanes = std::max<size_t>(lanes, std::stoul(i.text.substr(i.text.find('<') + 1)));
  }
  return lanes;
}

}  // namespace

TEST_CASE("sums of several columns run side by side, whatever is done with them once") {
  const char* plain = "        v9: f32 = sqrt v1";
  const char* momentum = R"(        v2: f32 = load s1[i0]
        v3: f32 = mul v1 v1
        v4: f32 = fma v2 v1 v3
        v5: f32 = sqrt v4
        v6: f32 = add v5 v2
        v7: f32 = div v1 v6
        v8: f32 = div v7 v6
        v9: f32 = sub v2 v8)";
  const char* transcendental = R"(        v2: f32 = tanh v1
        v3: f32 = exp v2
        v9: f32 = log v3)";
  CHECK(lanes_summed(plain) == 4 * 8);
  CHECK(lanes_summed(momentum) == 4 * 8);
  CHECK(lanes_summed(transcendental) == 8);  // four times as much code would be more than it is worth
  for (const char* update : {plain, momentum, transcendental}) {
    const KernelProgram program = test::parse_program(column_update(update));
    test::check_program(program, test::some_inputs(program), update == transcendental ? 8 : 2);
  }
}
