# escape=`
FROM mcr.example.org/windows/servercore:ltsc2022
SHELL ["powershell", "-Command"]
COPY testfile.txt c:\data\
RUN Write-Host 'first' ; `
    # a comment
    Write-Host "C:\Users"
ENV PLACE=C:\tools`
    QUOTED="a`"b" DOLLAR=`$HOME
CMD Start-Service w3svc
