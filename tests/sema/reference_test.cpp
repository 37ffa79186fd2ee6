// The blocks of docs/language.md compile, have finite values, and are laid out as gradc fmt lays them out. What stands in a comment
// before a block says how it is used: see "How the blocks of this page are marked" there.
#include <cmath>
#include <sstream>

#include <catch2/catch.hpp>

#include "frontend/syntax/format.h"
#include "tests/sema/elaborated.h"
#include "tests/support/golden.h"

using namespace gradc;
using namespace gradc::test;

namespace {

struct Block {
  int line = 0;
  std::string mark, text;

  bool is(const char* kind) const { return mark.rfind(kind, 0) == 0; }
  // "(x: [N, 3])" of the mark
  std::string inputs() const {
    size_t open = mark.find('('), depth = 0, at = open;
    do depth += (mark[at] == '(') - (mark[at] == ')');
    while (depth > 0 && ++at < mark.size());
    return mark.substr(open, at + 1 - open);
  }
  std::string statements() const {
    size_t open = mark.find('{', mark.find(inputs()) + inputs().size());
    return mark.substr(open + 1, mark.rfind('}') - open - 1);
  }
};

std::vector<Block> blocks() {
  std::istringstream page(read_text("docs/language.md"));
  std::vector<Block> out;
  std::string line, mark;
  int number = 0;
  while (std::getline(page, line)) {
    ++number;
    if (line.rfind("<!-- ", 0) == 0) {
      mark = line.substr(5, line.rfind(" -->") - 5);
      continue;
    }
    if (line == "```grad") {
      Block b{number + 1, mark, ""};
      while (std::getline(page, line) && ++number && line != "```") b.text += line + "\n";
      out.push_back(std::move(b));
    } else {
      CHECK(line.rfind("```grad", 0) != 0);  // another word behind it would go unseen
    }
    if (!line.empty()) mark.clear();
  }
  return out;
}

std::string indented(const std::string& text) {
  std::istringstream lines(text);
  std::string out, line;
  while (std::getline(lines, line)) out += line.empty() ? "\n" : "    " + line + "\n";
  return out;
}

// A file that compiles, made of the block.
std::string whole(const Block& b) {
  if (b.is("body of")) return "use nn\n\nmodel page" + b.inputs() + " {\n" + indented(b.text) + "}\n";
  if (b.is("items")) return "use nn\n\n" + b.text + "\nmodel page" + b.inputs() + " {\n" + b.statements() + "\n}\n";
  return b.text;
}

// The names that the last model of the file binds.
std::vector<std::string> values_of(const ast::File& file) {
  std::vector<std::string> names;
  for (const ast::Item& item : file.items) {
    auto* m = item.as<ast::Model>();
    for (size_t i = 0; m && i < m->body.statements.size(); ++i) {
      const ast::Stmt& s = m->body.statements[i];
      if (auto* bind = s.as<ast::Bind>(); bind && bind->targets.size() == 1 && bind->targets[0].name) names.push_back(bind->targets[0].name->name.str());
      if (auto* bind = s.as<ast::IndexBind>()) names.push_back(bind->name.name.str());
    }
  }
  return names;
}

std::map<Symbol, Tensor> some_inputs(const Elaboration& e) {
  std::map<Symbol, Tensor> inputs;
  for (const InputInfo& i : e.inputs) {
    Tensor t = Tensor::zeros(i.type);
    for (int64_t k = 0; k < t.type.count(); ++k) t.set(k, is_float(i.type.element) ? 0.1 + 0.8 * std::sin(double(k)) : double(k % i.index_limit.value_or(2)));
    inputs.emplace(i.name, std::move(t));
  }
  return inputs;
}

}  // namespace

TEST_CASE("every block of the reference compiles and has finite values") {
  REQUIRE(blocks().size() > 10);
  for (const Block& b : blocks()) {
    INFO("docs/language.md:" << b.line);
    CHECK((b.mark.empty() || b.is("body of (") || b.is("items, used by (")));
    ElaborateRequest request = f64_request();
    request.default_dim = 4;
    Elaborated parsed(whole(b), request);
    INFO(parsed.messages());
    REQUIRE(parsed.program);
    for (const std::string& name : values_of(*parsed.file)) {
      INFO(name);
      ElaborateRequest one = request;
      one.outputs = {name};
      Elaborated e(whole(b), one);
      if (e.messages().find("should be a tensor") != std::string::npos) continue;  // a layer, a list
      INFO(e.messages());
      REQUIRE(e.result);
      CHECK(e.diagnostics.error_count() == 0);
      for (const auto& [_, value] : e.evaluate(some_inputs(*e.result))) {
        for (int64_t k = 0; k < value.type.count(); ++k) CHECK(std::isfinite(value.at(k)));
      }
    }
    if (parsed.program->train()) {
      ElaborateRequest step = request;
      step.update = true;
      Elaborated e(whole(b), step);
      INFO(e.messages());
      REQUIRE(e.result);
      for (const auto& [_, value] : e.evaluate(some_inputs(*e.result))) {
        for (int64_t k = 0; k < value.type.count(); ++k) CHECK(std::isfinite(value.at(k)));
      }
    }
  }
}

TEST_CASE("every block of the reference is laid out as gradc fmt does") {
  for (const Block& b : blocks()) {
    INFO("docs/language.md:" << b.line);
    std::string text = b.is("items") ? b.text : whole(b);
    SourceManager sources;
    Diagnostics diagnostics;
    auto file = parse(sources.add("page.grad", text), sources, diagnostics);
    REQUIRE(diagnostics.all().empty());
    CHECK(ast::format(*file, sources) == text);
  }
}
