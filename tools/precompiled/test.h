// What most tests include from elsewhere.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
