#include "twostep/cli/help.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "twostep/cli/nearest.h"
#include "twostep/cli/terminal_text.h"

namespace twostep {
namespace {

// Where explanations begin; a longer name has its explanation below.
constexpr size_t kLeft = 22;

// `text` in words from column `at` on, which is where the first line is.
void AppendWrapped(absl::string_view text, size_t at, std::string* out) {
  size_t column = at;
  bool first = true;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!first && column + 1 + word.size() > kHelpColumns) {
      absl::StrAppend(out, "\n", std::string(at, ' '));
      column = at;
      first = true;
    }
    absl::StrAppend(out, first ? "" : " ", word);
    column += word.size() + (first ? 0 : 1);
    first = false;
  }
  *out += '\n';
}

void AppendRow(const std::string& name, const std::string& text,
               std::string* out) {
  std::string row = absl::StrCat("  ", name);
  if (row.size() + 2 > kLeft) {
    absl::StrAppend(&row, "\n", std::string(kLeft, ' '));
  } else {
    row.resize(kLeft, ' ');
  }
  *out += row;
  AppendWrapped(text, kLeft, out);
}

std::string NameOf(const CLI::Option& option) {
  if (option.get_positional()) {
    return absl::StrCat(option.get_name(true),
                        option.get_items_expected_max() > 1 ? "..." : "");
  }
  std::string name;
  for (const std::string& letter : option.get_snames()) {
    absl::StrAppend(&name, "-", letter, ", ");
  }
  for (const std::string& word : option.get_lnames()) {
    absl::StrAppend(&name, "--", word);
  }
  if (option.get_items_expected_max() == 0) return name;
  // Behind a colon are the names of its checks.
  const std::string type = option.get_type_name();
  return absl::StrCat(name, " ", type.substr(0, type.find(':')));
}

std::string TextOf(const CLI::Option& option) {
  // Where the value may be left out, the default is for that.
  if (option.get_positional() || option.get_items_expected_min() == 0 ||
      option.get_default_str().empty()) {
    return option.get_description();
  }
  return absl::StrCat(option.get_description(), " (default ",
                      option.get_default_str(), ")");
}

class CompactFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string,
                        CLI::AppFormatMode) const override {
    const CLI::App* const parent = app->get_parent();
    std::string help = "Usage: twostep";
    if (parent != nullptr) absl::StrAppend(&help, " ", app->get_name());
    absl::StrAppend(&help, " [OPTION...]");
    const auto options = app->get_options();
    for (const CLI::Option* option : options) {
      if (!option->get_positional()) continue;
      const std::string name = NameOf(*option);
      absl::StrAppend(
          &help, " ",
          option->get_required() ? name : absl::StrCat("[", name, "]"));
    }
    const auto subcommands =
        app->get_subcommands([](const CLI::App*) { return true; });
    if (!subcommands.empty()) absl::StrAppend(&help, " SUBCOMMAND ...");
    help += '\n';
    AppendWrapped(absl::StrCat(app->get_description(), "."), 0, &help);
    for (const CLI::Option* option : options) {
      if (option->get_positional()) {
        AppendRow(NameOf(*option), TextOf(*option), &help);
      }
    }
    if (!subcommands.empty()) help += "Subcommands:\n";
    for (const CLI::App* one : subcommands) {
      AppendRow(one->get_name(), one->get_description(), &help);
    }
    help += "Options:\n";
    for (const CLI::Option* option : options) {
      if (!option->get_positional()) {
        AppendRow(NameOf(*option), TextOf(*option), &help);
      }
    }
    return absl::StrCat(help, app->get_footer(), "\n");
  }
};

// The one that was asked for.
const CLI::App& Asked(const CLI::App& app) {
  const auto subcommands = app.get_subcommands();
  return subcommands.empty() ? app : *subcommands.front();
}

std::string NearTo(const CLI::App& asked, const std::string& argument) {
  std::vector<std::string> names;
  const bool is_root = asked.get_parent() == nullptr;
  // Elsewhere `help` and `version` are subcommands.
  if (is_root || absl::StartsWith(argument, "-")) {
    for (const CLI::Option* option :
         asked.get_options([](const CLI::Option*) { return true; })) {
      for (const std::string& word : option->get_lnames()) {
        names.push_back(absl::StrCat("--", word));
      }
    }
  }
  if (is_root && !absl::StartsWith(argument, "-")) {
    for (const CLI::App* one :
         asked.get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(one->get_name());
    }
  }
  return NearToIt(argument.substr(0, argument.find('=')), names);
}

}  // namespace

void UseCompactHelp(CLI::App* app) {
  app->formatter(std::make_shared<CompactFormatter>());
}

std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error) {
  // What is required may be missing because its option is misspelt.
  constexpr int kExtras = static_cast<int>(CLI::ExitCodes::ExtrasError);
  constexpr int kRequired = static_cast<int>(CLI::ExitCodes::RequiredError);
  const int code = error.get_exit_code();
  if (code != kExtras && code != kRequired) return error.what();
  std::vector<std::string> left = app.remaining(/*recurse=*/true);
  std::erase(left, "--");
  if (left.empty()) return error.what();
  // An option that there is not leaves its value over as well.
  const auto is_option = [](const std::string& argument) {
    return absl::StartsWith(argument, "-");
  };
  auto found = std::find_if(left.begin(), left.end(), is_option);
  if (found == left.end()) {
    if (code != kExtras) return error.what();
    found = left.begin();
  }
  const CLI::App& asked = Asked(app);
  const bool is_command = asked.get_parent() != nullptr;
  const char* what = "no subcommand is called '";
  if (is_command) what = "one too many: '";
  if (is_option(*found)) what = "no option is called '";
  return absl::StrCat(is_command ? absl::StrCat(asked.get_name(), ": ") : "",
                      what, *found, "'", NearTo(asked, *found));
}

bool WasCallForHelp(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {
    app.exit(error);
    return true;
  }
  const CLI::App& asked = Asked(app);
  std::fprintf(
      stderr, "twostep: %s\nTry: twostep %s--help\n",
      LinesForTerminal(WhatIsWrong(app, error)).c_str(),
      &asked == &app ? "" : absl::StrCat(asked.get_name(), " ").c_str());
  return false;
}

}  // namespace twostep
