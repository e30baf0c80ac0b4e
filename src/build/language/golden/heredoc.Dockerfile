FROM debian:bookworm
ARG GREETING="hello world"
RUN <<EOF
set -e
apt-get update
apt-get install -y --no-install-recommends curl
EOF
RUN <<-"PYTHON"
	#!/usr/bin/env python3
	print("$GREETING")
PYTHON
RUN cat <<ONE > /one && cat 3<<TWO > /two
first $GREETING
ONE
second
TWO
COPY <<motd <<-'raw' /etc/motd.d/
Welcome: ${GREETING}, "quoted" \$HOME
motd
	$GREETING stays
	raw
ADD --chmod=0600 <<.netrc /root/
machine example.org
.netrc
RUN python3 <<EOF
print("body on standard input")
EOF
RUN ["echo", "<<EOF"]
RUN echo "a <<b" && x=$((1<<2))
CMD ["bash"]
