# INGOT_SANITIZE: empty, "address,undefined" or "thread".
set(INGOT_SANITIZE "" CACHE STRING "sanitizers to build with")
option(INGOT_FUZZ "the fuzzers of tests/fuzz; clang only" OFF)
add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough -Werror
                    -fno-omit-frame-pointer -ffunction-sections -fdata-sections)
if(INGOT_SANITIZE)
  add_compile_options(-fsanitize=${INGOT_SANITIZE} -fno-sanitize-recover=all)
  # Of libarchive's archive a good part needs libraries that nothing here calls.
  add_link_options(-fsanitize=${INGOT_SANITIZE} -Wl,--gc-sections)
  if(INGOT_FUZZ)
    # Every library tells the fuzzer which of its branches were taken. clang's -Wshadow takes fields in lambdas, too.
    add_compile_options(-fsanitize=fuzzer-no-link -Wno-shadow)
  endif()
  # g++ 12 reports false maybe-uninitialized and similar under the sanitizers' instrumentation.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  if(INGOT_SANITIZE STREQUAL "thread")
    add_compile_options(-Wno-tsan) # Asio has a fence that it does not understand
  endif()
else()
  add_compile_options(-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
  add_link_options(-Wl,--gc-sections -Wl,-z,relro -Wl,-z,now)
endif()
# Headers are most of the time of a compilation: several sources are compiled as one (CMAKE_UNITY_BUILD in the
# presets), a quarter of the time from nothing. So names in anonymous namespaces are unique within a folder. The preset
# `dev` compiles each file on its own, for quick rebuilds and clang-tidy.
if(CMAKE_UNITY_BUILD)
  # Both are told of sources as if they were headers: a class in an unnamed namespace; {.a = 1} of an aggregate.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage> -Wno-missing-field-initializers)
endif()

find_program(INGOT_CCACHE ccache)
if(INGOT_CCACHE)
  # Results are shared between build folders and clones: paths below the source are taken as relative.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      ${INGOT_CCACHE})
endif()
