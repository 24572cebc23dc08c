#ifndef CLI_HELP_H_
#define CLI_HELP_H_

// How the command line explains itself: help that fits a screen, and what was
// meant by what it does not know.

#include <string>

#include "CLI/CLI.hpp"

namespace twostep {

// Columns of the smallest terminal that help is made for.
inline constexpr size_t kHelpColumns = 80;

// From then on the help of `app`, and of subcommands that are added to it, is a
// line of usage, a line for each argument and option with its default, and the
// footer, wrapped to kHelpColumns.
void UseCompactHelp(CLI::App* app);

// What is wrong with the command line, with the nearest option or subcommand
// where one is not known; not for calls for help.
std::string WhatIsWrong(const CLI::App& app, const CLI::ParseError& error);

// Ends the parse that ended with `error`: prints help, the version, or what is
// wrong. Whether it was a call for either.
bool WasCallForHelp(const CLI::App& app, const CLI::ParseError& error);

}  // namespace twostep

#endif  // CLI_HELP_H_
