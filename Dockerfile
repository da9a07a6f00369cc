# The same content as `make image`, for those who have Docker. Build the binaries first:
#   make image && docker build --platform linux/amd64 -t localhost/periscope:dev .
FROM scratch
ARG TARGETARCH
COPY --chmod=0755 bin/periscope-linux-${TARGETARCH} /periscope
WORKDIR /
ENTRYPOINT ["/periscope"]
