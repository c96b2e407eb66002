# Debian 12 packages only. Static archives where Debian ships them: a short verb must not pay for forty shared
# libraries at start.
set(Boost_USE_STATIC_LIBS ON)
set(OPENSSL_USE_STATIC_LIBS ON)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(OpenSSL 3 REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(GTest REQUIRED)

# yaml-cpp's own CMake target is the shared library; the archive is beside it.
find_library(INGOT_YAML_CPP NAMES libyaml-cpp.a yaml-cpp REQUIRED)
add_library(ingot_yaml_cpp UNKNOWN IMPORTED)
set_target_properties(ingot_yaml_cpp PROPERTIES IMPORTED_LOCATION ${INGOT_YAML_CPP})

# The archive again; it needs libm.
find_library(INGOT_SQLITE NAMES libsqlite3.a sqlite3 REQUIRED)
add_library(ingot_sqlite UNKNOWN IMPORTED)
set_target_properties(ingot_sqlite PROPERTIES IMPORTED_LOCATION ${INGOT_SQLITE}
  INTERFACE_LINK_LIBRARIES "Threads::Threads;m;${CMAKE_DL_LIBS}")

# Only its tar-independent part (decompression filters) is used; the archives keep it to half a megabyte.
find_library(INGOT_LIBARCHIVE NAMES libarchive.a REQUIRED)
find_library(INGOT_ZLIB NAMES libz.a REQUIRED)
find_library(INGOT_ZSTD NAMES libzstd.a REQUIRED)
find_library(INGOT_LZMA NAMES liblzma.a REQUIRED)
find_library(INGOT_BZ2 NAMES libbz2.a REQUIRED)
add_library(ingot_libarchive UNKNOWN IMPORTED)
set_target_properties(ingot_libarchive PROPERTIES IMPORTED_LOCATION ${INGOT_LIBARCHIVE}
  INTERFACE_LINK_LIBRARIES "${INGOT_ZLIB};${INGOT_ZSTD};${INGOT_LZMA};${INGOT_BZ2};Threads::Threads")
