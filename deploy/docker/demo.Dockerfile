# What the demo has besides the planes: the example service and a balancer in front of the data planes.
FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="sluice-demo" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY rootfs/ /
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["upstream"]
CMD ["-listen", "0.0.0.0:8100"]
