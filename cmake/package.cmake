# The Debian package: `cmake --build BUILD --target ingot package_files`, then `cpack --config BUILD/CPackConfig.cmake`.
# Only what these two build is installed.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

set(made ${CMAKE_BINARY_DIR}/package)
set(packaging ${CMAKE_SOURCE_DIR}/packaging)
string(TIMESTAMP package_date "%a, %d %b %Y %H:%M:%S +0000" UTC) # SOURCE_DATE_EPOCH, if it is set
file(MAKE_DIRECTORY ${made})
file(READ ${packaging}/changelog changelog)
string(REPLACE "@VERSION@" "${PROJECT_VERSION}" changelog "${changelog}")
string(REPLACE "@DATE@" "${package_date}" changelog "${changelog}")
file(WRITE ${made}/changelog "${changelog}")

# What the program says of itself: manual page and completion.
add_custom_command(
  OUTPUT ${made}/ingot.1.gz ${made}/ingot.bash ${made}/ingot.fish ${made}/changelog.Debian.gz
  COMMAND python3 ${packaging}/man $<TARGET_FILE:ingot> > ${made}/ingot.1
  COMMAND gzip -9nf ${made}/ingot.1
  COMMAND gzip -9nkc ${made}/changelog > ${made}/changelog.Debian.gz
  COMMAND $<TARGET_FILE:ingot> completion bash > ${made}/ingot.bash
  COMMAND $<TARGET_FILE:ingot> completion fish > ${made}/ingot.fish
  DEPENDS ingot ${packaging}/man ${made}/changelog
  VERBATIM)
add_custom_target(package_files DEPENDS ${made}/ingot.1.gz)

set(doc share/doc/ingot)
install(TARGETS ingot RUNTIME DESTINATION bin)
install(FILES ${packaging}/ingot.service DESTINATION /lib/systemd/system)
install(FILES ${made}/ingot.1.gz DESTINATION share/man/man1)
install(FILES ${made}/ingot.bash DESTINATION share/bash-completion/completions RENAME ingot)
install(FILES ${made}/ingot.fish DESTINATION share/fish/vendor_completions.d)
install(FILES ${made}/changelog.Debian.gz ${packaging}/copyright README.md DESTINATION ${doc})
install(FILES ${packaging}/host.yaml DESTINATION ${doc}/examples)
install(DIRECTORY docs/guide docs/formats DESTINATION ${doc})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ingot)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_SET_DESTDIR ON) # for /lib/systemd
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "the authors of Ingot <ingot@localhost>")
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# libcurl4 is opened when the program pulls or pushes. What else it runs is named where it is missed: `ingot doctor`.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "crun, conmon, haproxy (>= 2.6), libcurl4, init-system-helpers (>= 1.52)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, git, libisal2, libpq5, mmdebstrap")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${packaging}/postinst ${packaging}/prerm ${packaging}/postrm)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "immutable infrastructure in one program")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "From one definition kept in version control Ingot builds golden images, proves
them, stores them sealed and content-addressed, and runs them as fleets that
are only ever replaced, never modified. A release completes or nothing changes;
going back is one write of routes.")
include(CPack)
