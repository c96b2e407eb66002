# INGOT_SANITIZE: empty, "address,undefined" or "thread".
set(INGOT_SANITIZE "" CACHE STRING "sanitizers to build with")
add_compile_options(-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough -Werror
                    -fno-omit-frame-pointer -ffunction-sections -fdata-sections)
if(INGOT_SANITIZE)
  add_compile_options(-fsanitize=${INGOT_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${INGOT_SANITIZE})
  # g++ 12 reports false maybe-uninitialized and similar under the sanitizers' instrumentation.
  add_compile_options(-Wno-maybe-uninitialized)
else()
  add_compile_options(-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
  add_link_options(-Wl,--gc-sections -Wl,-z,relro -Wl,-z,now)
endif()
find_program(INGOT_CCACHE ccache)
if(INGOT_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${INGOT_CCACHE})
endif()
