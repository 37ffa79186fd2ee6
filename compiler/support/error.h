#pragma once

#include <stdexcept>
#include <string>

#include <fmt/format.h>

namespace gradc {

// A user's mistake is a Diagnostic (diagnostics.h). These exceptions are the other vocabulary:
// InternalError is a bug of ours (exit code 70), EnvironmentError is the machine failing us (exit code 3).
class InternalError : public std::logic_error {
  using std::logic_error::logic_error;
};

class EnvironmentError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void internal_error(const char* file, int line, const std::string& message);

}  // namespace gradc

// Holds in every build: a broken invariant must not turn into a wrong number.
#define GRADC_ASSERT(condition, ...)                                                                        \
  do {                                                                                                      \
    if (!(condition)) [[unlikely]]                                                                          \
      ::gradc::internal_error(__FILE__, __LINE__, ::fmt::format("{}: {}", #condition, ::fmt::format(__VA_ARGS__))); \
  } while (false)

#define GRADC_BUG(...) ::gradc::internal_error(__FILE__, __LINE__, ::fmt::format(__VA_ARGS__))
